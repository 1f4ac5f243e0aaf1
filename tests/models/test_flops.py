"""The counter against hand counts, fused attention included."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from deploybench.models import flops
from deploybench.models.flops import count_layer_values, count_macs, count_macs_by_kind
from deploybench.models.loading import count_parameters
from deploybench.models.source import BuildOptions, find_source

VIT_SMALL_MACS = 12 * 197 * 12 * 384**2 + 196 * 768 * 384 + 2 * 12 * 197**2 * 384 + 384 * 1000


def test_vit_small_is_counted_exactly_by_hand() -> None:
    model = timm.create_model("vit_small_patch16_224").eval()
    assert VIT_SMALL_MACS == 4_598_882_304
    assert count_macs(model, torch.zeros(1, 3, 224, 224)) == VIT_SMALL_MACS


def test_fused_attention_on_the_cpu_is_counted_when_the_meta_device_does_not_work() -> None:
    model = timm.create_model("vit_small_patch16_224").eval()
    counted = flops._count(lambda: model(torch.zeros(1, 3, 224, 224)), flops.formulas())
    assert sum(counted.flops["Global"].values()) == 2 * VIT_SMALL_MACS


@pytest.mark.parametrize(("tokens", "width", "hidden"), [(10, 64, 256), (33, 32, 64)])
def test_multihead_attention_is_counted_although_it_has_a_fused_path(
    tokens: int, width: int, hidden: int
) -> None:
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


def test_layer_values_are_what_every_layer_reads_and_writes_without_its_weights() -> None:
    chain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10)
    )
    assert count_layer_values(chain.eval(), torch.zeros(2, 3, 4, 4)) == 2 * (
        3 * 16 + 8 * 16 + 8 * 16 + 10
    )


def test_layer_values_of_a_vit_are_those_of_a_hand_count() -> None:
    model = timm.create_model("vit_small_patch16_224").eval()
    projections = (1 + 3) + (1 + 1) + (1 + 4) + (4 + 1)
    block = 197 * 384 * (projections + 4) + 2 * 6 * 197**2
    patches, classifier = 3 * 224**2 + 196 * 384, 384 + 1000
    by_hand = 12 * block + patches + classifier
    assert count_layer_values(model, torch.zeros(1, 3, 224, 224)) == by_hand
    fused = flops._count(
        lambda: model(torch.zeros(1, 3, 224, 224)), flops.layer_value_formulas()
    ).flops["Global"]
    assert sum(fused.values()) == by_hand


def test_buffers_are_no_parameters() -> None:
    assert count_parameters(nn.BatchNorm2d(7)) == 14


def test_macs_by_kind_of_a_vit_are_those_of_a_hand_count() -> None:
    found = count_macs_by_kind(
        timm.create_model("vit_small_patch16_224").eval(), torch.zeros(1, 3, 224, 224)
    )
    assert found.attention_mixing == 2 * 12 * 197**2 * 384
    assert found.attention_projections == 12 * 197 * 4 * 384**2
    assert found.mlp == 12 * 197 * 8 * 384**2
    assert found.convolution == 196 * 768 * 384
    assert found.other == 384 * 1000
    assert found.total == VIT_SMALL_MACS


@pytest.mark.parametrize(
    "name", ["xcit_nano_12_p16_224", "swin_tiny_patch4_window7_224", "botnet26t_256", "resnet18"]
)
def test_no_kind_is_negative_and_only_attention_networks_have_attention(name: str) -> None:
    model, size = timm.create_model(name).eval(), 256 if name.endswith("256") else 224
    example = torch.empty(1, 3, size, size, device="meta")
    found = count_macs_by_kind(model, example)
    assert found.total == count_macs(model, example)
    assert (
        min(
            found.attention_mixing,
            found.attention_projections,
            found.mlp,
            found.convolution,
            found.other,
        )
        >= 0
    )
    assert bool(found.attention) is (name != "resnet18")


def test_block_that_is_called_after_its_attention_keeps_its_mlp_apart() -> None:
    """XCiT nano: 12 blocks of width 128, 4 heads of 32, 196 tokens; 2 class-attention blocks with
    one query."""
    found = count_macs_by_kind(
        timm.create_model("xcit_nano_12_p16_224").eval(), torch.zeros(1, 3, 224, 224)
    )
    d, n = 128, 196
    assert found.mlp == 12 * n * 8 * d * d + 2 * 8 * d * d
    assert found.attention_projections == 12 * n * 4 * d * d + 2 * (2 * (n + 1) * d * d + 2 * d * d)
    assert found.attention_mixing == 12 * 2 * n * d * 32 + 2 * 2 * (n + 1) * d


def test_attention_inside_an_mlp_or_an_attention_is_counted_once() -> None:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner_attention, self.mlp = nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.mlp(self.inner_attention(x)) @ torch.ones(4, 2, device=x.device)

    class OuterAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x)

    found = count_macs_by_kind(nn.Sequential(OuterAttention(), nn.Linear(2, 3)), torch.zeros(5, 4))
    assert (found.attention_projections, found.attention_mixing, found.mlp, found.other) == (
        160,
        40,
        0,
        30,
    )


@pytest.mark.parametrize(
    "name",
    [
        "vit",
        "performer",
        "fastformer",
        "xca",
        "resnet50",
        "efficientnet-b0",
        "densenet-bc",
        "aa-wrn-28-10",
    ],
)
def test_count_agrees_with_fvcore_within_four_percent_where_fvcore_is_right(name: str) -> None:
    """fvcore counts no fused attention, and Linformer's broadcast product too small: those are left
    out."""
    fvcore = pytest.importorskip("fvcore.nn")
    source, own = find_source(name)
    fused = timm.layers.use_fused_attn()
    timm.layers.set_fused_attn(False)
    try:
        built = source.build(own, BuildOptions(num_classes=10))
    finally:
        timm.layers.set_fused_attn(fused)
    spec, module = built.preprocessing, built.module.eval()
    example = torch.zeros(1, 3, spec.height, spec.width)
    counter = (
        fvcore.FlopCountAnalysis(module, example)
        .unsupported_ops_warnings(False)
        .uncalled_modules_warnings(False)
    )
    assert counter.total() == pytest.approx(count_macs(module, example), rel=0.04)
