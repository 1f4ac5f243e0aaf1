"""From an image file to a model's input, as the manifest says.

Trim, resize, crop or pad, scale, normalise: the same steps with the same rounding as timm's
evaluation transform (``timm.data.transforms_factory.transforms_imagenet_eval``), which rounds in
three ways:

* ``center``, square: the shorter side becomes ``floor(size / crop_fraction)``, the longer one is
  cut off to a whole number (torchvision's ``Resize``).
* ``center``, other targets, and ``border``: the sides are divided by one ratio and rounded
  (timm's ``ResizeKeepRatio``); in ``center`` the image covers the target, in ``border`` it fits.
* ``squash``: both sides become ``floor(size / crop_fraction)``.

Then the centre is cropped; where the image is smaller, it is padded with black, in ``border`` with
the mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_files import open_picture
from deploybench.data.image_values import WHITE_8, Picture
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_RESIZED_PIXELS = 1 << 25
"""Where resizing would give more, only the part that is not cropped away is resized."""
WIDEST_FILTER = 3
"""Pixels on either side that lanczos, the widest filter, looks at."""


@dataclass(frozen=True)
class ImageInput:
    """The normalised image, float32 of shape (channels, height, width), and what was decided about
    it that the file leaves open."""

    pixels: npt.NDArray[np.float32]
    notes: tuple[str, ...]


def load_image(path: Path, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """The normalised image as float32 of shape (channels, height, width).

    Raises DeployBenchError.
    """
    return read_image(path, spec).pixels


def read_image(path: Path, spec: Preprocessing) -> ImageInput:
    """The normalised image with the notes on it. Raises DeployBenchError."""
    return input_of(open_picture(path, spec), spec, str(path))


def input_of(picture: Picture, spec: Preprocessing, place: str) -> ImageInput:
    """A picture that was read, from a file or from an array, as a model's input.

    ``place`` is where it lies, as an error says it. Raises DeployBenchError.
    """
    return input_of_fitted(fitted(picture, spec, place), spec)


def fitted(picture: Picture, spec: Preprocessing, place: str) -> Picture:
    """The picture in the model's height and width: trimmed, resized, cropped or padded.

    Raises DeployBenchError.
    """
    border = spec.crop_border_pixels
    if min(picture.size) <= 2 * border:
        width, height = picture.size
        raise DeployBenchError(
            f"{place} has {width} x {height} pixels, and the model's preprocessing trims "
            f"{border} from every edge",
            expected="a larger image",
        )
    bands = picture.bands
    if bands[0].mode == "F" and len(bands) < spec.channels:  # grey, for a model of colours
        bands = bands * spec.channels
    bands = tuple(_fitted(band, spec, index) for index, band in enumerate(bands))
    return replace(picture, bands=bands)


def input_of_fitted(picture: Picture, spec: Preprocessing) -> ImageInput:
    """A picture that has the model's height and width, scaled and normalised."""
    bands = picture.bands
    if bands[0].mode == "F" and len(bands) < spec.channels:
        bands = bands * spec.channels
    # Height x width x channels; a grey image has no dimension of channels in Pillow.
    levels = np.dstack([np.asarray(band, dtype=np.float32) for band in bands])
    pixels = levels
    if bands[0].mode != "F":
        pixels = levels / np.float32(WHITE_8)
    # Bicubic overshoots at edges. Pixels of 8 bits are cut off there; floats have to be.
    pixels = np.clip(pixels, 0, 1)
    if spec.color == "bgr":
        pixels = pixels[:, :, ::-1]
    normalised = (pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    array = np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)
    return ImageInput(array, picture.notes)


def _fitted(image: Image, spec: Preprocessing, index: int) -> Image:
    """The image in the model's height and width; ``index`` is that of a band among several."""
    from PIL import Image as Pillow

    border = spec.crop_border_pixels
    if border:
        image = image.crop((border, border, image.width - border, image.height - border))
    width, height = resized_size(image.size, spec)
    left, from_x, to_x = _placed(width, spec.width)
    top, from_y, to_y = _placed(height, spec.height)
    part = (from_x, from_y, to_x, to_y)
    filter_ = Pillow.Resampling[spec.interpolation.upper()]
    if width * height <= MOST_RESIZED_PIXELS:
        resized = image.resize((width, height), filter_).crop(part)
    else:
        resized = _resized_part(image, (width, height), part, filter_)
    if resized.size == (spec.width, spec.height):
        return resized
    canvas = Pillow.new(image.mode, (spec.width, spec.height), _fill(image.mode, spec, index))
    canvas.paste(resized, (left, top))
    return canvas


def resized_size(size: tuple[int, int], spec: Preprocessing) -> tuple[int, int]:
    """(width, height) after the resize of an image of that (width, height), before the crop."""
    width, height = size
    scale_width = math.floor(spec.width / spec.crop_fraction)
    scale_height = math.floor(spec.height / spec.crop_fraction)
    if spec.crop_mode == "squash":
        return scale_width, scale_height
    if spec.crop_mode == "center" and scale_width == scale_height:
        longer = int(scale_width * max(size) / min(size))
        if width <= height:
            return scale_width, longer
        return longer, scale_height
    by_width, by_height = width / scale_width, height / scale_height
    ratio = min(by_width, by_height)
    if spec.crop_mode == "border":
        ratio = max(by_width, by_height)
    # timm refuses an image that becomes thinner than half a pixel; here it keeps one.
    return max(round(width / ratio), 1), max(round(height / ratio), 1)


def _placed(length: int, target: int) -> tuple[int, int, int]:
    """Where a side goes: (offset in the target, from, to), of the pixels that are not cropped."""
    if length < target:
        return (target - length) // 2, 0, length
    start = round((length - target) / 2)
    return 0, start, start + target


def _resized_part(
    image: Image, size: tuple[int, int], part: tuple[int, int, int, int], filter_: int
) -> Image:
    """What ``image.resize(size, filter_).crop(part)`` gives, without the rest in between.

    A strip of 1 x 200,000 pixels would be 256 x 51,200,000 in between.
    """
    width, height = size
    from_x, from_y, to_x, to_y = part
    # The part in coordinates of the image itself, and all pixels that the filter looks at around.
    by_width, by_height = image.width / width, image.height / height
    box = (from_x * by_width, from_y * by_height, to_x * by_width, to_y * by_height)
    margin_x = WIDEST_FILTER * max(by_width, 1) + 1
    margin_y = WIDEST_FILTER * max(by_height, 1) + 1
    left = max(math.floor(box[0] - margin_x), 0)
    top = max(math.floor(box[1] - margin_y), 0)
    right = min(math.ceil(box[2] + margin_x), image.width)
    bottom = min(math.ceil(box[3] + margin_y), image.height)
    # Pillow keeps a box in 32-bit floats: near the origin they are fine enough.
    near = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    neighbourhood = image.crop((left, top, right, bottom))
    near = (*near[:2], min(near[2], right - left), min(near[3], bottom - top))
    return neighbourhood.resize((to_x - from_x, to_y - from_y), filter_, box=near)


def _fill(mode: str, spec: Preprocessing, index: int) -> float | tuple[int, ...]:
    """The colour of the padding, in the values of an image of that mode."""
    if spec.crop_mode != "border":
        return 0
    # The mean is in the order in which the model sees the channels; the image is RGB here.
    levels = [round(WHITE_8 * value) for value in spec.mean]
    if spec.color == "bgr":
        levels.reverse()
    if mode == "F":
        return levels[index] / WHITE_8
    if mode == "L":
        return levels[0]
    return tuple(levels)
