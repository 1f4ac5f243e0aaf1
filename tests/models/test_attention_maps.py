"""What a model attends to: read beside an unchanged forward pass, and consistent with what the
layers compute."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.attention_maps import AttentionMap, read_attention
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


def check_rows(maps: list[AttentionMap]) -> None:
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
    seen: list[AttentionMap] = read_attention_of_layer(layer, x)
    qkv = layer.qkv(x).reshape(2, TOKENS, 3, 3, 8).permute(2, 0, 3, 1, 4)
    mixed = (seen[0].reading.values @ qkv[2]).transpose(1, 2).flatten(2)
    torch.testing.assert_close(layer.proj(mixed), layer(x), rtol=0, atol=1e-5)


def read_attention_of_layer(layer: nn.Module, x: torch.Tensor) -> list[AttentionMap]:
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
