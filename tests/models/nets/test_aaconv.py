"""Attention-augmented convolution against a direct loop over the paper's definition, on a map that
is not square."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d, Augmentation, MapAttention
from tests.models.nets import references

HEIGHT, WIDTH, HEADS = 3, 5, 2


def attention(stride: int = 1) -> MapAttention:
    torch.manual_seed(3)
    made = MapAttention(
        6, key_channels=8, value_channels=4, heads=HEADS, size=(HEIGHT, WIDTH), stride=stride
    )
    return made.double().eval()


def image(height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    return torch.randn(
        2, 6, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )


@torch.no_grad()
def test_map_attention_is_its_definition_on_a_map_that_is_not_square() -> None:
    made = attention()
    q, k, v = made.qkv(image()).split([8, 8, 4], dim=1)
    maps = []
    for number in range(2):
        heads = [
            references.map_attention(
                *(
                    part[number]
                    .unflatten(0, (HEADS, -1))[head]
                    .permute(1, 2, 0)  # height x width x channels of the head
                    for part in (q, k, v)
                ),
                made.relative_height,
                made.relative_width,
            )
            for head in range(HEADS)
        ]
        maps.append(torch.cat(heads, dim=2).permute(2, 0, 1))
    torch.testing.assert_close(made(image()), made.proj(torch.stack(maps)), rtol=0, atol=1e-5)


@torch.no_grad()
def test_relative_tables_belong_to_their_own_axis() -> None:
    """With q = 1 and all else 0, a large entry of one table for the offset (+1 row) moves every
    output one row up."""
    made = attention()
    made.qkv.weight.zero_()
    made.relative_height.zero_()
    made.relative_width.zero_()
    made.relative_height[HEIGHT - 1 + 1] = 1e3
    q = torch.ones(1, HEADS, HEIGHT * WIDTH, 4, dtype=torch.float64)
    weights = made._weights(q, torch.zeros_like(q))[0, 0].view(HEIGHT, WIDTH, HEIGHT, WIDTH)
    assert torch.allclose(weights[0, 2, 1].sum(), torch.tensor(1.0, dtype=torch.float64))
    assert torch.allclose(
        weights[2, 2].sum(), torch.tensor(1.0, dtype=torch.float64)
    )  # no row below: uniform
    assert float(weights[2, 2].max()) == pytest.approx(1 / (HEIGHT * WIDTH))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_output_has_the_channels_and_size_of_a_convolution(kernel: int, stride: int) -> None:
    size = ((8 + stride - 1) // stride, (6 + stride - 1) // stride)
    made = AAConv2d(6, 80, kernel, Augmentation(heads=8, value_share=0.5), size, stride)
    plain = nn.Conv2d(6, 80, kernel, stride, kernel // 2)
    found, expected = made(torch.zeros(2, 6, 8, 6)), plain(torch.zeros(2, 6, 8, 6))
    assert found.shape == expected.shape
    assert made.conv.out_channels == 40


@pytest.mark.parametrize(
    ("channels", "share", "keys", "values"),
    [
        (108, 0.7, 160, 72),
        (150, 0.7, 160, 104),
        (320, 0.1, 160, 32),
        (640, 0.1, 160, 64),
        (2000, 0.7, 400, 1400),
    ],
)
def test_channels_of_keys_and_values(channels: int, share: float, keys: int, values: int) -> None:
    augmentation = Augmentation(value_share=share)
    assert augmentation.key_channels(channels) == keys
    assert augmentation.value_channels(channels) == values


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="none to each of 8 heads"):
        Augmentation(value_share=0.1).value_channels(40)
    with pytest.raises(ValueError, match="all 40 channels"):
        AAConv2d(6, 40, 3, Augmentation(value_share=1.0), (4, 4))
