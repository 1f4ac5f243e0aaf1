"""The images that an artifact is held against its source on: several kinds, always the same.

Noise with the statistics of photographs alone hides much: a branch that asks how bright an image
is takes one side on all of it. So there are a blank image, a black, a white, and a real photograph
as well. Where a model hardly tells these apart, there are more: other noise of high contrast,
plain colours, and parts of the photograph.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.synthetic import normalised, reference_inputs

PHOTOGRAPH = Path(__file__).with_name("photograph.npz")
"""uint8, height x width x RGB. Its licence lies beside it."""
LUMA = (0.299, 0.587, 0.114)
"""Of RGB, as ITU-R BT.601 weighs them: the photograph for a model of one channel."""
GREY, BLACK, WHITE = 0.5, 0.0, 1.0
"""Pixels of the constant images."""
OTHER_SEED, HIGH_CONTRAST = 1, 4.0

Images = npt.NDArray[np.float32]


def telling_inputs(preprocessing: Preprocessing) -> Images:
    """Normalised images, float32, shape (8, channels, height, width).

    The first four are those of :func:`~deploybench.data.synthetic.reference_inputs`, which are also
    what is timed; then blank, black, white, and a photograph.
    """
    shape = (preprocessing.channels, preprocessing.height, preprocessing.width)
    constant = [np.full(shape, level) for level in (GREY, BLACK, WHITE)]
    pixels = np.stack([*constant, _photograph(preprocessing)])
    return np.concatenate([reference_inputs(preprocessing), normalised(pixels, preprocessing)])


def more_telling_inputs(preprocessing: Preprocessing) -> Images:
    """Images beside those of :func:`telling_inputs`, for a model that hardly tells them apart."""
    channels = preprocessing.channels
    shape = (channels, preprocessing.height, preprocessing.width)
    noise = reference_inputs(preprocessing, seed=OTHER_SEED) * np.float32(HIGH_CONTRAST)

    # One channel full, the others empty: plain red, green and blue for RGB.
    colours = np.zeros((channels, *shape))
    for channel in range(channels):
        colours[channel, channel] = WHITE

    # The photograph's quarters, mirrored, and with its brightness turned round.
    photograph = _photograph(preprocessing)
    top_left = _photograph(preprocessing, part=(slice(0, 56), slice(0, 56)))
    bottom_right = _photograph(preprocessing, part=(slice(56, 112), slice(56, 112)))
    parts = np.stack([top_left, bottom_right, photograph[:, :, ::-1], WHITE - photograph])
    pixels = np.concatenate([colours, parts])
    return np.concatenate([noise, normalised(pixels, preprocessing)])


def _photograph(
    preprocessing: Preprocessing, part: tuple[slice, slice] = (slice(None), slice(None))
) -> npt.NDArray[np.float64]:
    """The photograph, or a part of it, as pixels from 0 to 1 of the model's channels and size."""
    colour = _stored_photograph()[part]
    if preprocessing.channels == 1:
        planes = [colour @ np.array(LUMA)]
    else:  # more channels than three begin again with red
        planes = [colour[..., channel % 3] for channel in range(preprocessing.channels)]
    return np.stack([_resized(plane, preprocessing) for plane in planes])


def photograph() -> npt.NDArray[np.uint8]:
    """The photograph as it is kept: height x width x RGB."""
    with np.load(PHOTOGRAPH, allow_pickle=False) as archive:
        pixels: npt.NDArray[np.uint8] = archive["pixels"]
    return pixels


@cache
def _stored_photograph() -> npt.NDArray[np.float64]:
    return photograph() / 255


def _resized(
    plane: npt.NDArray[np.float64], preprocessing: Preprocessing
) -> npt.NDArray[np.float64]:
    """Bilinear, pixel centre on pixel centre, as images are resized everywhere."""
    along = plane
    for axis, size in enumerate((preprocessing.height, preprocessing.width)):
        length = along.shape[axis]
        position = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
        before = np.floor(position).astype(int)
        after = np.minimum(before + 1, length - 1)
        share = (position - before).reshape((-1, 1) if axis == 0 else (1, -1))
        along = along.take(before, axis) * (1 - share) + along.take(after, axis) * share
    return along
