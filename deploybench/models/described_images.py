"""The preprocessing that a module describes itself, in the keys of timm's ``pretrained_cfg``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from deploybench.artifacts.preprocessing import Color, CropMode, Interpolation, Preprocessing
from deploybench.artifacts.preprocessing import PreprocessingPart as Part
from deploybench.data.preprocessing_options import check_normalisation
from deploybench.errors import DeployBenchError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""By channel, of pixels in [0, 1]: timm's defaults."""
USUAL_SIZE = (224, 224)
"""(height, width) of a model that timm has no configuration for."""
USUAL_CROP = 0.875
KEYS: dict[Part, str] = {
    "image_size": "input_size",
    "crop": "crop_pct",
    "interpolation": "interpolation",
    "mean": "mean",
    "std": "std",
}
"""Under which key of timm's a configuration says each part."""


def described_preprocessing(
    config: Mapping[str, Any], channels: int | None, image_size: tuple[int, int] | None
) -> Preprocessing:
    """The preprocessing in a ``pretrained_cfg``; what it leaves out has timm's defaults and is
    marked as assumed.

    ``channels`` are the module's, where it tells them; ``image_size`` (height, width) is what was
    asked for. Raises DeployBenchError for a configuration that does not read.
    """
    config_channels, height, width = _input_size(config)
    if image_size is not None:
        height, width = image_size
    channels = channels or config_channels
    mean = _numbers(config, "mean", IMAGENET_MEAN)
    std = _numbers(config, "std", IMAGENET_STD)
    _check_normalisation(config, mean, std)
    if channels != config_channels or len(mean) != channels:
        # Nobody knows the statistics of other channels: each gets the mean of those of RGB.
        mean = (sum(mean) / len(mean),) * channels
        std = (sum(std) / len(std),) * channels
    return Preprocessing(
        channels=channels,
        height=height,
        width=width,
        crop_fraction=_crop(config),
        interpolation=_word(config, "interpolation", get_args(Interpolation), "bicubic"),
        mean=mean,
        std=std,
        crop_mode=_word(config, "crop_mode", get_args(CropMode), "center"),
        crop_border_pixels=int(config.get("crop_border_pixels") or 0),
        color=_word(config, "color", get_args(Color), "rgb"),
        assumed=_assumed(config, image_size),
    )


def _assumed(config: Mapping[str, Any], image_size: tuple[int, int] | None) -> tuple[Part, ...]:
    assumed: list[Part] = []
    for part, key in KEYS.items():
        if part == "image_size" and image_size is not None:
            continue
        if config.get(key) is None:
            assumed.append(part)
    return tuple(assumed)


def _input_size(config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(channels, height, width)."""
    size = config.get("input_size")
    if size is None:
        return (3, *USUAL_SIZE)
    try:
        channels, height, width = (int(value) for value in size)
    except (TypeError, ValueError):
        raise _unreadable("input_size", size, "(channels, height, width)") from None
    if min(channels, height, width) < 1:
        raise _unreadable("input_size", size, "sizes from 1 on")
    return channels, height, width


def _numbers(
    config: Mapping[str, Any], key: str, otherwise: tuple[float, ...]
) -> tuple[float, ...]:
    value = config.get(key)
    if value is None:
        return otherwise
    try:
        if not hasattr(value, "__iter__"):
            return (float(value),)
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if not numbers:
        raise _unreadable(key, value, "a number for each channel")
    return numbers


def _crop(config: Mapping[str, Any]) -> float:
    value = config.get("crop_pct")
    if not value:
        return USUAL_CROP
    try:
        crop = float(value)
    except (TypeError, ValueError):
        crop = 0.0
    if not 0 < crop <= 2:
        raise _unreadable("crop_pct", value, "a share: 0.875")
    return crop


def _word(config: Mapping[str, Any], key: str, known: tuple[str, ...], otherwise: str) -> Any:
    """One of the known words; the type checker is told by the document that takes it."""
    value = config.get(key)
    if not value:
        return otherwise
    if value not in known:
        raise _unreadable(key, value, f"one of {', '.join(known)}")
    return value


def _check_normalisation(
    config: Mapping[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    if len(mean) != len(std):
        raise _unreadable("std", config.get("std"), f"{len(mean)} numbers, as the mean has")
    try:
        check_normalisation(mean, std)
    except DeployBenchError as error:
        raise _unreadable("mean and std", (mean, std), error.expected or "", error.action) from None


def _unreadable(
    key: str, value: object, expected: str, action: str | None = None
) -> DeployBenchError:
    return DeployBenchError(
        f"the module's pretrained_cfg has {key} {value!r}", expected=expected, action=action
    )
