"""What a reduced precision costs on a model, measured without arithmetic in it."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch._decomp import decomposition_table
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from deploybench.artifacts.parity import compare_outputs, plain_images
from deploybench.data.synthetic import reference_inputs
from deploybench.models.loading import load_model, reference_images
from deploybench.models.precision_cost import DTYPES, outputs_in
from deploybench.models.source import BuildOptions


def error(outputs: torch.Tensor, reference: torch.Tensor) -> float:
    """The root mean square of the difference."""
    return float((outputs - reference).square().mean().sqrt())


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet"])
def test_the_cost_is_that_of_an_eager_module_in_the_precision(name: str) -> None:
    built, _ = load_model(f"timm:{name}", BuildOptions(), None, allow_partial=False)
    images = torch.from_numpy(reference_inputs(built.preprocessing))
    with torch.no_grad():
        reference = built.module(images)
        for precision, dtype in DTYPES.items():
            measured = error(outputs_in(built.module, images, precision), reference)
            eager = copy.deepcopy(built.module).to(dtype)(images.to(dtype)).float()
            assert measured == pytest.approx(error(eager, reference), rel=0.2), precision


def test_tf32_rounds_what_goes_into_products_to_ten_bits_and_nothing_else() -> None:
    layer = nn.Linear(1, 1).requires_grad_(False)
    layer.weight.fill_(1 + 2**-11 + 2**-12)  # nearer to 1 + 2 ** -10 than to 1
    layer.bias.fill_(2**-20)
    outputs = outputs_in(layer, torch.ones(1, 1), "tf32")
    assert float(outputs) == 1 + 2**-10 + 2**-20


def test_the_module_stays_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True)).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    images = torch.randn(2, 8)
    unchanged = images.clone()
    outputs_in(module, images, "bf16")
    assert torch.equal(images, unchanged)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_what_is_written_through_a_view_is_seen_by_its_base() -> None:
    class Shifted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            copied = x * 1
            first, _ = copied.split(1, dim=1)
            first += 1
            return copied

    outputs = outputs_in(Shifted(), torch.zeros(1, 2), "bf16")
    assert outputs.tolist() == [[1.0, 0.0]]


APART = ("norm", "gelu", "silu", "hard", "sigmoid", "softmax", "scaled_dot_product", "addmm")
"""Parts of the names of the operators of ATen that are taken apart below."""


@pytest.mark.parametrize("name", ["test_vit", "test_efficientnet", "test_convnext"])
def test_an_artifact_that_rounds_within_norms_and_activations_is_accepted(name: str) -> None:
    """As a runtime would be that has no kernel for them, and rounds each of their steps."""
    built, _ = load_model(f"timm:{name}", BuildOptions(), None, allow_partial=False)
    images = reference_images(built.preprocessing)
    plain = plain_images(images.numpy())
    table = {}
    for operator, decomposition in decomposition_table.items():
        if any(part in str(operator) for part in APART):
            table[operator] = decomposition

    module = built.module
    with torch.no_grad():
        reference = module(images).numpy()
    for precision in DTYPES:
        cost = outputs_in(module, images, precision).numpy()
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            # The graph holds the module's own tensors, which outputs_in rounds by name.
            graph = make_fx(module, decomposition_table=table)(images)
        apart = outputs_in(graph, images, precision).numpy()
        report = compare_outputs(reference, apart, precision, plain, rounded=cost)
        assert report.passed, report.reason
        assert not np.array_equal(apart, cost)
