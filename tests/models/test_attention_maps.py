"""What a model attends to: read beside an unchanged forward pass, and consistent with what the
layers compute."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import timm
import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.attention_maps import (
    AttentionMap,
    AttentionMaps,
    IncompleteAttention,
    read_attention,
)
from deploybench.models.nets.aaconv import AAConv2d, Augmentation
from deploybench.models.nets.attention import LAYERS, attention_layer
from deploybench.models.nets.wide_resnet import WideResNet

SIZE, TOKENS = 32, 17


def small_vit(attention: str | None) -> nn.Module:
    torch.manual_seed(5)
    swapped = {} if attention is None else {"attn_layer": attention_layer(attention, TOKENS, None)}
    return timm.create_model(
        "vit_tiny_patch16_224",
        img_size=SIZE,
        patch_size=8,
        embed_dim=24,
        num_heads=3,
        depth=2,
        num_classes=5,
        **swapped,
    ).eval()


def images(count: int = 2, size: int = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(6))


def check_rows(maps: Sequence[AttentionMap]) -> None:
    for found in maps:
        values = found.reading.values
        assert values.dim() == len(found.reading.axes)
        assert values.isfinite().all()
        if found.reading.sums_to_one:
            torch.testing.assert_close(
                values.sum(dim=-1), torch.ones(values.shape[:-1]), rtol=0, atol=1e-5
            )


@pytest.mark.parametrize("attention", [None, *LAYERS])
def test_every_layer_of_the_fair_family_is_read_and_the_output_is_not_changed(
    attention: str | None,
) -> None:
    model = small_vit(attention)
    with torch.no_grad():
        before = model(images())
    maps = read_attention(model, images())
    layers = ["blocks.0.attn", "blocks.1.attn"]
    assert list(dict.fromkeys(found.layer for found in maps)) == layers
    check_rows(maps)
    shapes = {
        None: (2, 3, TOKENS, TOKENS),
        "linformer": (2, 3, TOKENS, TOKENS),
        "linformer-shared": (2, 3, TOKENS, TOKENS),
        "performer": (2, 3, TOKENS, TOKENS),
        "fastformer": (2, 3, TOKENS),
        "xca": (2, 3, 8, 8),
    }
    assert {tuple(found.reading.values.shape) for found in maps} == {shapes[attention]}
    with torch.no_grad():
        assert torch.equal(model(images()), before)
    assert not any(module._forward_pre_hooks for module in model.modules())


@pytest.mark.parametrize("attention", [None, "linformer", "performer"])
@torch.no_grad()
def test_token_maps_times_the_values_are_the_layers_output(attention: str | None) -> None:
    model = small_vit(attention)
    layer = model.blocks[0].attn
    x = torch.randn(2, TOKENS, 24)
    seen = read_attention_of_layer(layer, x)
    qkv = layer.qkv(x).reshape(2, TOKENS, 3, 3, 8).permute(2, 0, 3, 1, 4)
    mixed = (seen[0].reading.values @ qkv[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer.proj(mixed), layer(x), rtol=0, atol=1e-5)


def read_attention_of_layer(layer: nn.Module, x: torch.Tensor) -> AttentionMaps:
    return read_attention(nn.Sequential(layer).eval(), x)


@torch.no_grad()
def test_windows_of_swin_reproduce_its_output_shifted_blocks_included() -> None:
    model = timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=56,
        window_size=7,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(3, 3),
    ).eval()
    inputs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for path, layer in model.named_modules():
        if path.endswith(".attn"):
            layer.register_forward_hook(
                lambda layer, given, output, path=path: inputs.__setitem__(path, (given[0], output))  # type: ignore[misc]
            )
    maps = read_attention(model, images(2, 56))
    check_rows(maps)
    assert [found.layer for found in maps] == list(inputs)
    for found in maps:
        layer = model.get_submodule(found.layer)
        x, output = inputs[found.layer]
        v = layer.qkv(x).reshape(*x.shape[:2], 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)[2]
        mixed = (found.reading.values @ v).transpose(1, 2).flatten(2)
        torch.testing.assert_close(layer.proj(mixed), output, rtol=0, atol=1e-5)


def test_xcit_has_channel_maps_and_class_attention() -> None:
    model = timm.create_model("xcit_nano_12_p16_224", img_size=64, depth=2).eval()
    maps = read_attention(model, images(2, 64))
    check_rows(maps)
    assert [found.reading.quantity for found in maps] == ["channel weights"] * 2 + [
        "class attention"
    ] * 2
    assert maps[-1].reading.values.shape == (2, 4, 1, 17)


def test_augmented_convolution_has_a_map_for_each_position() -> None:
    model = nn.Sequential(AAConv2d(3, 40, 3, Augmentation(heads=4, value_share=0.4), (4, 6))).eval()
    (found,) = read_attention(model, torch.randn(2, 3, 4, 6))
    assert found.layer == "0.attention"
    assert found.reading.values.shape == (2, 4, 24, 24)
    check_rows([found])


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_class_activation_of_a_cnn_adds_up_to_its_answer(name: str) -> None:
    model = timm.create_model(name, num_classes=4).eval()
    with torch.no_grad():
        logits = model(images(3, 64))
    (found,) = read_attention(model, images(3, 64))
    assert found.reading.axes == ("image", "y", "x")
    best = logits.argmax(dim=1)
    recovered = found.reading.values.mean(dim=(1, 2)) + model.get_classifier().bias[best]
    torch.testing.assert_close(recovered, logits.max(dim=1).values, rtol=0, atol=1e-4)


def test_class_activation_of_our_own_networks() -> None:
    model = WideResNet(4, 3, (SIZE, SIZE)).eval()
    (found,) = read_attention(model, images())
    assert found.reading.values.shape == (2, SIZE // 4, SIZE // 4)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("mobilenetv3_small_050", {}, "layers between its last map and its classifier"),
        ("test_resnet", {"global_pool": "max"}, "pools by 'max'"),
    ],
)
def test_class_activation_is_refused_where_it_would_not_add_up(
    name: str, arguments: dict[str, str], words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        read_attention(timm.create_model(name, **arguments).eval(), images(1, 64))


def test_model_in_training_mode_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="training mode"):
        read_attention(timm.create_model("test_resnet").train(), images())


def test_model_in_which_nothing_can_be_read_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="nothing that can be read"):
        read_attention(nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 2)).eval(), images())


FAMILIES = {
    "test_vit": ({}, 160, 6),
    "visformer_tiny": ({"img_size": 64}, 64, 8),
    "cait_xxs24_224": ({"img_size": 64, "depth": 2}, 64, 4),
    "xcit_nano_12_p16_224": ({"img_size": 64, "depth": 1}, 64, 3),
    "swinv2_tiny_window8_256": (
        {"img_size": 64, "window_size": 4, "depths": (1, 1), "num_heads": (2, 2), "embed_dim": 16},
        64,
        2,
    ),
    "levit_128s": ({}, 224, 11),
    "mvitv2_tiny": ({"img_size": 64}, 64, 10),
    "pvt_v2_b0": ({}, 64, 8),
    "nest_tiny": ({"img_size": 64}, 64, 12),
    "maxvit_rmlp_pico_rw_256": ({"img_size": 64}, 64, 22),
    "eva02_tiny_patch14_224": ({"img_size": 56, "depth": 1}, 56, 1),
    "beit_base_patch16_224": ({"img_size": 64, "depth": 1}, 64, 1),
    "crossvit_tiny_240": ({"depth": [[1, 1, 0]]}, 240, 4),
    "coat_tiny": ({"img_size": 64}, 64, 26),
    "volo_d1_224": ({"img_size": 64}, 64, 20),
    "twins_svt_small": ({"img_size": 64}, 64, 18),
    "edgenext_xx_small": ({}, 64, 3),
    "mobilevit_xxs": ({}, 64, 9),
}
"""Of timm: arguments that make it small, its image size, and how many softmaxes it has."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.trust(
                item=17,
                case=f"attention maps of timm's {name}",
                before=before,
                now="a map for each softmax of the forward pass",
            ),
        )
        for name, before in (
            ("cait_xxs24_224", "the 2 of its class attention, of 4, no word"),
            ("crossvit_tiny_240", "2 maps of 4 softmaxes, no word"),
            ("visformer_tiny", "a class activation alone, none of its 8 softmaxes, no word"),
        )
    ]
    + [name for name in FAMILIES if name[:4] not in ("cait", "cros", "visf")],
)
def test_every_softmax_of_a_family_is_a_map(name: str) -> None:
    arguments, size, count = FAMILIES[name]
    torch.manual_seed(2)
    model = timm.create_model(name, num_classes=4, **arguments).eval()
    maps = read_attention(model, images(2, size))
    assert (len(maps), maps.unread) == (count, ())
    check_rows(maps)
    assert not any(found.reading.quantity == "softmax weights" for found in maps)
    assert not any(module._forward_hooks for module in model.modules())


@torch.no_grad()
def test_talking_heads_of_cait_are_read_as_the_values_get_them() -> None:
    model = timm.create_model("cait_xxs24_224", img_size=64, depth=1, num_classes=4).eval()
    layer = model.blocks[0].attn
    x = torch.randn(2, 16, 192)
    (found,) = read_attention_of_layer(layer, x)
    assert (found.reading.quantity, found.reading.sums_to_one) == ("mixed weights", False)
    v = layer.qkv(x).reshape(2, 16, 3, 4, 48).permute(2, 0, 3, 1, 4)[2]
    mixed = (found.reading.values @ v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer.proj(mixed), layer(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_of_torch_is_read(need_weights: bool) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, need_weights=need_weights)[0]

    (found,) = read_attention(Attends().eval(), torch.randn(2, 9, 16))
    assert found.layer == "attention"
    assert found.reading.values.numel() == 2 * 4 * 9 * 9
    check_rows([found])
    assert torch.backends.mha.get_fastpath_enabled()


def test_softmax_that_something_takes_before_the_product_is_named() -> None:
    """ConViT's gated heads mix two softmaxes; its last two layers are plain."""
    model = timm.create_model("convit_tiny", num_classes=4).eval()
    with pytest.warns(IncompleteAttention, match=r"blocks\.0\.attn: the softmax of GPSA"):
        maps = read_attention(model, images(1, 224))
    assert {found.layer for found in maps} == {"blocks.10.attn", "blocks.11.attn"}
    assert {unread.layer for unread in maps.unread} == {f"blocks.{n}.attn" for n in range(10)}


def test_softmax_of_a_cnn_is_named_beside_its_class_activation() -> None:
    model = timm.create_model("resnest14d", num_classes=4).eval()
    with pytest.warns(IncompleteAttention, match="rsoftmax"):
        maps = read_attention(model, images(1, 64))
    assert [found.reading.quantity for found in maps] == ["class activation"]
    assert len(maps.unread) == 4


def test_layer_that_tells_of_fewer_softmaxes_than_it_has_is_named() -> None:
    model = small_vit("fastformer")
    layer = model.blocks[0].attn
    whole = layer.read
    layer.read = lambda x: whole(x)[:1]
    with pytest.warns(IncompleteAttention, match="tells of fewer softmaxes"):
        maps = read_attention(model, images())
    assert [unread.layer for unread in maps.unread] == ["blocks.0.attn"]
