"""An image that lies in an array, by the rules of image files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import (
    MODES,
    WHITE_8,
    Picture,
    deep_bands,
    is_deep,
    natural_bands,
    unreadable,
)
from deploybench.errors import DeployBenchError

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGB with alpha."""


def picture_of(values: npt.NDArray[Any], spec: Preprocessing, place: str) -> Picture:
    """The image in an array, height x width or height x width x channels.

    Values of 8 bits are pixels, those of 16 bits and floats are grey values as in a file.

    Raises DeployBenchError for what is no image.
    """
    try:
        from PIL.Image import fromarray
    except ImportError as error:
        raise DeployBenchError(
            "reading images needs Pillow", action='pip install "deploybench[image]"'
        ) from error
    if spec.channels not in MODES:
        raise DeployBenchError(
            f"the model takes {spec.channels} channels", expected="1 or 3 for images"
        )
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    mode = f"array of {values.dtype}"
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * WHITE_8
    colours = values.ndim == 3 and values.shape[-1] in CHANNELS and values.dtype == np.uint8
    if not (colours or values.ndim == 2) or not values.size:
        raise unreadable(place, f"an array of {values.dtype}, {values.shape}")
    if values.dtype.kind == "f":
        values = values.astype(np.float32)
    elif values.dtype not in (np.uint8, np.uint16):
        values = values.astype(np.int32)
    image = fromarray(np.ascontiguousarray(values))
    if is_deep(image.mode):
        bands, notes = deep_bands(place, image, image, "", spec, inverted=False)
    else:
        bands, notes = natural_bands(image, image, spec)
    return Picture(bands, notes, mode)
