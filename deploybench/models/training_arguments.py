"""What the arguments of a training say about images, where a checkpoint carries them.

timm's ``train.py`` stores them as ``args`` (``img_size``, ``crop_pct``, ``mean`` …), torchvision's
reference as ``args`` (``val_crop_size``, ``val_resize_size``), others as hyper-parameters under the
same names. A value that is None was left to the architecture's own configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploybench.data.preprocessing_options import PreprocessingOptions

WHOLE = (frozenset({"model", "crop_pct", "mean", "std", "interpolation"}),)
"""Names that a training of timm's stores together: what it leaves out is timm's own."""


@dataclass(frozen=True)
class TrainingImages:
    """The images of a training: what it says, (height, width) where it does, and whether what it
    leaves out is the architecture's own configuration (so that nothing is assumed)."""

    options: PreprocessingOptions = field(default_factory=PreprocessingOptions)
    image_size: tuple[int, int] | None = None
    whole: bool = False


def training_images(arguments: Mapping[str, object]) -> TrainingImages:
    """Read the arguments of a training. What does not read as an image's is passed over."""
    crop = _number(arguments.get("crop_pct"))
    size = _size(arguments)
    cropped = _number(arguments.get("val_crop_size"))
    resized = _number(arguments.get("val_resize_size"))
    if crop is None and cropped and resized:
        crop = cropped / resized
    options = PreprocessingOptions(
        mean=_numbers(arguments.get("mean")),
        std=_numbers(arguments.get("std")),
        interpolation=_word(arguments.get("interpolation")),
        crop=crop,
        resize_mode=_word(arguments.get("crop_mode")),
    )
    whole = any(names <= arguments.keys() for names in WHOLE)
    return TrainingImages(options, size, whole)


def _size(arguments: Mapping[str, object]) -> tuple[int, int] | None:
    """(height, width), from ``input_size`` (channels, height, width) or the side of a square."""
    whole = arguments.get("input_size")
    if isinstance(whole, (tuple, list)) and len(whole) == 3:
        height, width = _number(whole[1]), _number(whole[2])
        if height and width:
            return int(height), int(width)
    for name in ("img_size", "image_size", "val_crop_size"):
        side = _number(arguments.get(name))
        if side:
            return int(side), int(side)
    return None


def _number(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
        return float(value)
    return None


def _numbers(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, (tuple, list)) or not value:
        return None
    if not all(isinstance(number, (int, float)) for number in value):
        return None
    return tuple(float(number) for number in value)


def _word(value: object) -> str | None:
    if isinstance(value, str) and value and value != "random":
        return value
    return None
