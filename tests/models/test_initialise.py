"""Random weights give logits with spread, so that a wrong artifact is seen."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from deploybench.artifacts.artifact import Preprocessing
from deploybench.artifacts.parity import compare_outputs
from deploybench.data.synthetic import reference_inputs
from deploybench.models.initialise import spread_random_weights
from deploybench.models.loading import load_model, weights_hash
from deploybench.models.source import BuildOptions

SPEC = Preprocessing(
    channels=3,
    height=160,
    width=160,
    crop_fraction=0.9,
    interpolation="bicubic",
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
)


@pytest.mark.parametrize(
    "name",
    ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "xcit_nano_12_p16_224"],
)
def test_logits_have_unit_spread_and_differ_between_images(name: str) -> None:
    torch.manual_seed(0)
    module = timm.create_model(name).eval()
    config = module.pretrained_cfg["input_size"]
    images = torch.from_numpy(
        reference_inputs(SPEC.model_copy(update={"height": config[1], "width": config[2]}))
    )
    spread_random_weights(module, images, seed=0)
    with torch.no_grad():
        logits = module(images)
    assert 0.5 < logits.std() < 2
    assert logits.std(dim=0).mean() > 0.05


def test_branch_that_starts_closed_is_opened() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)
            nn.init.zeros_(self.norm.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.norm(self.inner(x))

    module, x = Residual().eval(), torch.randn(4, 8)
    spread_random_weights(module, x, seed=0)
    with torch.no_grad():
        before = module(x)
        module.inner.bias[0] += 1
        assert (module(x) - before).abs().max() > 1e-3


def test_a_layer_changed_by_5_percent_fails_parity_in_every_kind_of_layer() -> None:
    built, _ = load_model("timm:test_efficientnet", BuildOptions(), None, allow_partial=False)
    images = torch.from_numpy(reference_inputs(built.preprocessing))
    with torch.no_grad():
        reference = built.module(images).numpy()
        for name, parameter in built.module.named_parameters():
            if parameter.dim() < 2:
                continue
            parameter.mul_(1.05)
            report = compare_outputs(reference, built.module(images).numpy(), "fp32")
            parameter.div_(1.05)
            assert not report.passed, name


def test_the_same_name_gives_the_same_weights() -> None:
    first = load_model("timm:test_vit", BuildOptions(), None, allow_partial=False)[1]
    assert first == load_model("timm:test_vit", BuildOptions(), None, allow_partial=False)[1]
    assert first.kind == "random"


def test_weights_hash_sees_every_bit_and_every_name() -> None:
    model = nn.Linear(3, 3)
    before = weights_hash(model)
    with torch.no_grad():
        model.weight[0, 0] = torch.nextafter(model.weight[0, 0], torch.tensor(9.0))
    assert weights_hash(model) != before
