"""From images as they are kept here to the array that an artifact's input takes.

Images are float32 of (images, channels, height, width), normalised. What was exported here takes
just that; an adopted file may want the channels last, or numbers of another type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import TensorSpec


def fed(images: npt.NDArray[np.float32], spec: TensorSpec) -> npt.NDArray[Any]:
    """The images (images, channels, height, width) in the layout and the type of the input.

    Whole numbers are rounded, and cut off where the type ends. What fits already is handed on
    without a copy.
    """
    array: npt.NDArray[Any] = images
    if spec.layout == "nhwc":
        array = array.transpose(0, 2, 3, 1)
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        array = np.clip(np.rint(array), limits.min, limits.max)
    return np.ascontiguousarray(array, dtype=dtype)
