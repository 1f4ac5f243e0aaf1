"""The counter against hand counts, fused attention included."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from deploybench import flops
from deploybench.flops import count_macs, count_parameters

VIT_SMALL_MACS = 12 * 197 * 12 * 384**2 + 196 * 768 * 384 + 2 * 12 * 197**2 * 384 + 384 * 1000


def test_vit_small_is_counted_exactly_by_hand() -> None:
    model = timm.create_model("vit_small_patch16_224").eval()
    assert VIT_SMALL_MACS == 4_598_882_304
    assert count_macs(model, torch.zeros(1, 3, 224, 224)) == VIT_SMALL_MACS


def test_fused_attention_on_the_cpu_is_counted_when_the_meta_device_does_not_work() -> None:
    model = timm.create_model("vit_small_patch16_224").eval()
    counted = flops._count(lambda: model(torch.zeros(1, 3, 224, 224)))
    assert counted == VIT_SMALL_MACS


@pytest.mark.parametrize(("tokens", "width", "hidden"), [(10, 64, 256), (33, 32, 64)])
def test_multihead_attention_is_counted_although_it_has_a_fused_path(tokens: int, width: int, hidden: int) -> None:
    layer = nn.TransformerEncoderLayer(width, 4, hidden, batch_first=True).eval()
    by_hand = tokens * (4 * width**2 + 2 * width * hidden) + 2 * tokens**2 * width
    assert count_macs(layer, torch.zeros(1, tokens, width)) == by_hand
    assert torch.backends.mha.get_fastpath_enabled()


def test_depthwise_convolution_is_counted_by_its_groups() -> None:
    layer = nn.Conv2d(16, 16, 3, padding=1, groups=16)
    assert count_macs(layer, torch.zeros(1, 16, 8, 8)) == 16 * 9 * 64


def test_counting_changes_nothing_in_the_module() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    count_macs(model, torch.zeros(1, 3))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert next(model.parameters()).device.type == "cpu"


def test_module_that_does_not_run_on_meta_is_counted_on_its_example() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) if x.sum().item() == 0 else x

    assert count_macs(Branches(), torch.zeros(1, 4)) == 16


def test_buffers_are_no_parameters() -> None:
    assert count_parameters(nn.BatchNorm2d(7)) == 14
