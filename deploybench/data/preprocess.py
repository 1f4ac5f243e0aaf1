"""From an image file to a model's input, as the manifest says.

Resize, centre crop, scale, normalise.

The same steps as timm's evaluation transform: the shorter side is resized to ``floor(size /
crop_fraction)``, the centre is cropped to the model's size, pixels are scaled to [0, 1] and
normalised by channel.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Preprocessing
from deploybench.errors import DeployBenchError

MODES = {1: "L", 3: "RGB"}


def load_image(path: Path, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """The normalised image as float32 of shape (channels, height, width).

    Raises DeployBenchError.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DeployBenchError(
            "reading images needs Pillow", action='pip install "deploybench[image]"'
        ) from error
    if spec.channels not in MODES:
        raise DeployBenchError(
            f"the model takes {spec.channels} channels", expected="1 or 3 for image files"
        )
    try:
        with Image.open(path) as opened:
            picture = opened.convert(MODES[spec.channels])
    except FileNotFoundError:
        raise DeployBenchError(f"there is no image {path}", action="check the path") from None
    except (UnidentifiedImageError, OSError) as error:
        raise DeployBenchError(
            f"{path} does not read as an image: {error}", expected="PNG, JPEG, …"
        ) from None
    filters = {
        "bicubic": Image.Resampling.BICUBIC,
        "bilinear": Image.Resampling.BILINEAR,
        "nearest": Image.Resampling.NEAREST,
    }
    resized = picture.resize(_resized(picture.size, spec), filters[spec.interpolation])
    left = round((resized.width - spec.width) / 2)
    top = round((resized.height - spec.height) / 2)
    cropped = resized.crop((left, top, left + spec.width, top + spec.height))

    # Height x width x channels, as Pillow has it; a grey image has no dimension of channels there.
    levels = np.asarray(cropped, dtype=np.float32).reshape(spec.height, spec.width, spec.channels)
    pixels = levels / 255
    normalised = (pixels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), dtype=np.float32)


def _resized(size: tuple[int, int], spec: Preprocessing) -> tuple[int, int]:
    """(width, height) after the resize.

    The target, widened by the crop, is covered; the ratio of the sides is kept, fractions are cut
    off.
    """
    width, height = size
    target_width = math.floor(spec.width / spec.crop_fraction)
    target_height = math.floor(spec.height / spec.crop_fraction)
    # Which side has to grow more decides the scale: target_width / width >= target_height / height,
    # without fractions. The other side then covers its target, and is never under the crop.
    if target_width * height >= target_height * width:
        return target_width, max(target_width * height // width, spec.height)
    return max(target_height * width // height, spec.width), target_height
