"""Attention-augmented convolution.

Bello et al. 2019, "Attention Augmented Convolutional Networks".

Some output channels come from a convolution, the others from self-attention over the whole feature
map with relative position logits for height and width. The tables of relative positions fix the
map's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from deploybench.models.attention_maps import Reading

FEWEST_KEY_CHANNELS = 20
"""A head, as in the paper, section 4: fewer key channels cannot tell positions apart."""


@dataclass(frozen=True)
class Augmentation:
    """How much of a convolution becomes attention.

    Shares of its output channels for keys and values, and the number of heads.
    """

    heads: int = 8
    key_share: float = 0.2
    value_share: float = 0.1

    def key_channels(self, out_channels: int) -> int:
        """d_k of the paper: a multiple of the heads, at least 20 a head."""
        return max(FEWEST_KEY_CHANNELS * self.heads, self._whole(self.key_share, out_channels))

    def value_channels(self, out_channels: int) -> int:
        """d_v of the paper: a multiple of the heads.

        Raises ValueError when there is not one channel a head.
        """
        channels = self._whole(self.value_share, out_channels)
        if channels == 0:
            raise ValueError(
                f"{self.value_share} of {out_channels} channels gives none to each of {self.heads} "
                f"heads"
            )
        return channels

    def _whole(self, share: float, channels: int) -> int:
        """The share of the channels, cut down to a multiple of the heads."""
        # the small number takes away what rounding of the share takes from a whole number
        return math.floor(share * channels / self.heads + 1e-9) * self.heads


class MapAttention(nn.Module):
    """Multi-head self-attention over the positions of a feature map of ``size`` (height, width).

    The logit of query position i and key position j is q_i (k_j + r^W[jx - ix] + r^H[jy - iy]) /
    sqrt(d): the paper's equations 2 and 3 with the scale on the relative logits too, as in its
    reference code.
    """

    def __init__(
        self,
        in_channels: int,
        key_channels: int,
        value_channels: int,
        heads: int,
        size: tuple[int, int],
        stride: int,
    ) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.widths = [key_channels, key_channels, value_channels]
        self.qkv = nn.Conv2d(in_channels, sum(self.widths), 1, stride=stride, bias=False)
        self.proj = nn.Conv2d(value_channels, value_channels, 1, bias=False)
        width = key_channels // heads
        self.relative_height = nn.Parameter(torch.empty(2 * size[0] - 1, width))
        self.relative_width = nn.Parameter(torch.empty(2 * size[1] - 1, width))
        nn.init.normal_(self.relative_height, std=width**-0.5)
        nn.init.normal_(self.relative_width, std=width**-0.5)
        self.register_buffer("height_offsets", _offsets(size[0]), persistent=False)
        self.register_buffer("width_offsets", _offsets(size[1]), persistent=False)
        self.height_offsets: torch.Tensor
        self.width_offsets: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self._heads(x)
        mixed = self._weights(q, k) @ v  # images x heads x positions x channels of a head
        height, width = self.size
        value_channels = self.widths[2]
        # back to a map: images x channels of all heads x height x width
        by_channel = mixed.transpose(-2, -1).reshape(-1, value_channels, height, width)
        return self.proj(by_channel)

    def read(self, x: torch.Tensor) -> list[Reading]:
        q, k, _ = self._heads(x)
        return [Reading.of_tokens("weights", self._weights(q, k), sums_to_one=True)]

    def _heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """q, k and v: images x heads x positions x channels of a head, positions row by row."""
        heads = []
        for part in self.qkv(x).split(self.widths, dim=1):  # images x channels x height x width
            by_head = part.unflatten(
                1, (self.heads, -1)
            )  # images x heads x channels x height x width
            heads.append(by_head.flatten(3).transpose(-2, -1))
        return heads

    def _weights(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """images x heads x positions x positions, rows sum to one."""
        # Dimensions by letter: B images, H heads, y and x of the query, Y and X of the key, C the
        # channels of a head. A position is y and x, flattened.
        height, width = self.size
        q = q * q.shape[-1] ** -0.5
        rows = q.unflatten(2, (height, width))  # B H y x C
        height_table = self.relative_height[self.height_offsets].transpose(1, 2)  # y C Y
        width_table = self.relative_width[self.width_offsets].transpose(1, 2)  # x C X

        # The relative logits of each query to a key's row and to its column; for the latter x
        # stands where the table has it, before the product and back after it.
        by_height = rows @ height_table  # B H y x Y
        by_width = (rows.transpose(2, 3) @ width_table).transpose(2, 3)  # B H y x X
        relative = by_height.unsqueeze(-1) + by_width.unsqueeze(-2)  # B H y x Y X
        logits = q @ k.transpose(-2, -1) + relative.flatten(4).flatten(2, 3)  # B H (y x) (Y X)
        return logits.softmax(dim=-1)


def _offsets(length: int) -> torch.Tensor:
    """Where in a table of relative positions the offset from query to key is: length x length.

    Queries are its rows, keys its columns.
    """
    positions = torch.arange(length)
    return positions[None, :] - positions[:, None] + length - 1


class AAConv2d(nn.Module):
    """A convolution ("same" padding) whose last ``value_channels`` outputs are attention instead.

    ``size`` is the height and width of the output map. Shapes as of ``nn.Conv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        augmentation: Augmentation,
        size: tuple[int, int],
        stride: int = 1,
    ) -> None:
        super().__init__()
        values = augmentation.value_channels(out_channels)
        if values >= out_channels:
            raise ValueError(
                f"attention would take all {out_channels} channels: value_share "
                f"{augmentation.value_share}"
            )
        padding = kernel_size // 2
        self.conv = nn.Conv2d(
            in_channels, out_channels - values, kernel_size, stride, padding, bias=False
        )
        keys = augmentation.key_channels(out_channels)
        self.attention = MapAttention(in_channels, keys, values, augmentation.heads, size, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.conv(x), self.attention(x)], dim=1)
