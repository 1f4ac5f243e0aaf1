"""Tokens and pixels: where on the image a token lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deploybench.errors import DeployBenchError

PREFIXES = (0, 1, 2, 5)
"""Class, distillation and register tokens that known models put before those of the image."""
Pixel = tuple[int, int]
"""y, x: from 0, in the image as the model gets it."""


@dataclass(frozen=True)
class Grid:
    """``height`` x ``width`` tokens, row by row, after ``prefix`` tokens that are of no place."""

    prefix: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    def place(self, pixel: Pixel, size: tuple[int, int]) -> tuple[int, int]:
        """The row and the column of the token that the pixel of an image of that size is in."""
        return pixel[0] * self.height // size[0], pixel[1] * self.width // size[1]

    def token(self, pixel: Pixel, size: tuple[int, int]) -> int:
        """The number of that token, the prefix counted."""
        row, column = self.place(pixel, size)
        return self.prefix + row * self.width + column


def grid_of(tokens: int, size: tuple[int, int]) -> Grid | None:
    """The grid of so many tokens that has the shape of the image (height, width), if there is one.

    Four places at least: fewer show nothing.
    """
    for prefix in PREFIXES:
        places = tokens - prefix
        if places < 4:
            return None
        height = math.isqrt(places * size[0] // size[1])
        if height and places % height == 0 and height * size[1] == places // height * size[0]:
            return Grid(prefix, height, places // height)
    return None


def corners_of_the_third(size: tuple[int, int]) -> tuple[Pixel, ...]:
    """The corners of the centred square of a third of the image: the four pixels of Cordonnier et
    al. 2020, "On the Relationship between Self-Attention and Convolutional Layers"."""
    ys = (size[0] // 3, 2 * size[0] // 3)
    xs = (size[1] // 3, 2 * size[1] // 3)
    return tuple((y, x) for y in ys for x in xs)


def check_inside(pixel: Pixel, size: tuple[int, int]) -> None:
    """Refuse a pixel that the image (height, width) does not have. Raises DeployBenchError."""
    if not (0 <= pixel[0] < size[0] and 0 <= pixel[1] < size[1]):
        raise DeployBenchError(
            f"--pixel {pixel[0]},{pixel[1]} lies outside the image",
            expected=f"Y from 0 to {size[0] - 1}, X from 0 to {size[1] - 1}: the image as the "
            "model gets it",
        )
