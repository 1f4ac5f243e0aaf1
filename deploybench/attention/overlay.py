"""A map laid over the image that it was made from, as pixels: for a page without Matplotlib."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from deploybench.data.image_values import WHITE_8

MOST_COVERED = 0.65
"""Of the image, where a map is largest: what lies below is still seen."""
HEAT = np.array([[0, 0, 64], [87, 15, 140], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float)
"""From none to the most: from dark blue over red to yellow, each step lighter than the one before,
so that it reads without colours, too."""
SIGNED = np.array([[33, 102, 172], [247, 247, 247], [178, 24, 43]], float)
"""Negative, nothing, positive."""


def overlay(
    picture: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """The image in grey with the map in colours above it, height x width x 3.

    ``picture`` is height x width x 3 from 0 to 1; the map has any size, and is drawn smoothly from
    place to place. What is not a number is left uncovered. A map that is nothing but zero covers
    nothing.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    most = float(np.abs(np.nan_to_num(values)).max()) or 1.0
    shares = Image.fromarray((values / most).astype(np.float32))
    large = np.asarray(shares.resize((width, height), Image.Resampling.BILINEAR), float)
    seen = np.isfinite(large)
    large = np.clip(np.nan_to_num(large), -1, 1)
    signed = bool((values < 0).any())
    colours = _colours(SIGNED, (large + 1) / 2) if signed else _colours(HEAT, large)
    covered = (MOST_COVERED * np.abs(large) * seen)[:, :, None]
    grey = np.repeat(picture.mean(2, keepdims=True), 3, axis=2) * WHITE_8
    mixed: npt.NDArray[np.uint8] = np.round((1 - covered) * grey + covered * colours).astype(
        np.uint8
    )
    return mixed


def png_of_overlay(
    picture: npt.NDArray[np.float64], values: npt.NDArray[np.float64], least_side: int
) -> bytes:
    """The same as a PNG, of a small image enlarged by whole numbers to ``least_side`` pixels."""
    from PIL import Image

    times = max(1, -(-least_side // max(picture.shape[:2])))
    large = picture.repeat(times, axis=0).repeat(times, axis=1)
    file = io.BytesIO()
    Image.fromarray(overlay(large, values)).save(file, "PNG")
    return file.getvalue()


def _colours(
    anchors: npt.NDArray[np.float64], shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The colour of each share, from 0 to 1, between the anchors: one more dimension of 3."""
    places = np.linspace(0, 1, len(anchors))
    parts = [np.interp(shares, places, anchors[:, part]) for part in range(3)]
    return np.stack(parts, axis=-1)
