"""What a user says about a model's images, and what it changes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import SerializerFunctionWrapHandler, model_serializer

from deploybench.artifacts.preprocessing import (
    Background,
    Color,
    CropMode,
    Interpolation,
    Orientation,
    Preprocessing,
    PreprocessingPart,
)
from deploybench.data.image_values import WHITE_8, check_window
from deploybench.documents import Document
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted

PARTS: tuple[PreprocessingPart, ...] = get_args(PreprocessingPart)
WIDEST_CROP = 2.0
"""timm has configurations of 1.15; what is over 2 was meant in percent."""


class PreprocessingOptions(Document):
    """What is said of a model's images; None leaves it to the model's source.

    ``mean`` and ``std`` are of pixels in [0, 1], one value for all channels or one for each, in the
    order in which the model sees them. ``crop`` is the share of the resized image that is kept.
    ``window`` holds the values of a file that are black and white.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str | None = None
    crop: float | None = None
    resize_mode: str | None = None
    color: str | None = None
    window: tuple[float, float] | None = None
    background: str | None = None
    orientation: str | None = None

    @model_serializer(mode="wrap")
    def _store_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without what nobody said, so that a field more changes no key of an artifact."""
        return {name: value for name, value in serialise(self).items() if value is not None}

    def check(self) -> None:
        """Raise DeployBenchError for values that no model can take."""
        check_normalisation(self.mean, self.std)
        if self.crop is not None and not 0 < self.crop <= WIDEST_CROP:
            advice = None
            if 1 < self.crop <= 100:
                advice = f"in percent? --crop {self.crop / 100:g}"
            raise DeployBenchError(
                f"--crop {self.crop:g}",
                expected="the share of the resized image that is kept: over 0, at most 1",
                action=advice,
            )
        if self.window is not None:
            check_window(self.window)
        if self.interpolation == "random":
            raise DeployBenchError(
                "--interpolation random",
                expected="what the model is evaluated with: random is for training",
                action="--interpolation bicubic, or bilinear",
            )
        _check_word("interpolation", self.interpolation, get_args(Interpolation))
        _check_word("resize mode", self.resize_mode, get_args(CropMode))
        _check_word("colour order", self.color, get_args(Color))
        _check_word("background", self.background, get_args(Background))
        _check_word("orientation", self.orientation, get_args(Orientation))

    def applied_to(self, spec: Preprocessing) -> Preprocessing:
        """The preprocessing with what was said in place of what it had.

        What is said is no longer assumed. Raises DeployBenchError for what does not fit the model.
        """
        self.check()
        changes: dict[str, Any] = {}
        given: set[PreprocessingPart] = set()
        if self.mean is not None:
            changes["mean"] = _for_channels("--mean", self.mean, spec.channels)
            given.add("mean")
        if self.std is not None:
            changes["std"] = _for_channels("--std", self.std, spec.channels)
            given.add("std")
        if self.interpolation is not None:
            changes["interpolation"] = self.interpolation
            given.add("interpolation")
        if self.resize_mode is not None:
            changes["crop_mode"] = self.resize_mode
            if "crop" in spec.assumed and self.resize_mode != "center":
                # Who squashes or pads an image wants to see all of it.
                changes["crop_fraction"] = 1.0
                given.add("crop")
        if self.crop is not None:
            changes["crop_fraction"] = self.crop
            given.add("crop")
        if self.color is not None:
            _check_color(self.color, spec.channels)
            changes["color"] = self.color
        if self.window is not None:
            changes["window"] = self.window
        if self.background is not None:
            changes["background"] = self.background
        if self.orientation is not None:
            changes["orientation"] = self.orientation
        changes["assumed"] = tuple(part for part in spec.assumed if part not in given)
        return spec.replaced(**changes)

    def arguments(self) -> list[str]:
        """What says the same on the command line."""
        arguments: list[str] = []
        for flag, numbers in (("--mean", self.mean), ("--std", self.std)):
            if numbers is not None:
                arguments += [flag, number_list(numbers)]
        if self.window is not None:
            # With the sign of equality: a window may begin with a minus.
            arguments.append(f"--window={number_list(self.window)}")
        words = {
            "--interpolation": self.interpolation,
            "--crop": self.crop,
            "--resize-mode": self.resize_mode,
            "--color": self.color,
            "--background": self.background,
        }
        for flag, word in words.items():
            if word is not None:
                arguments += [flag, str(word)]
        if self.orientation == "keep":
            arguments.append("--keep-orientation")
        return arguments


def check_normalisation(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Raise DeployBenchError for a mean or deviation that pixels in [0, 1] cannot have."""
    of_levels = _largest(mean) > 1 or _largest(std) > 1
    if of_levels and _largest(mean) <= WHITE_8 and _largest(std) <= WHITE_8:
        found = []
        instead = []
        for flag, numbers in (("--mean", mean), ("--std", std)):
            if numbers is not None:
                found.append(f"{flag} {number_list(numbers)}")
                instead.append(f"{flag} {number_list([value / WHITE_8 for value in numbers])}")
        raise DeployBenchError(
            f"{' '.join(found)} looks like levels from 0 to 255",
            expected="the mean and deviation of pixels in [0, 1]",
            action=f"divide by 255: {' '.join(instead)}",
        )
    for flag, numbers, least in (("--mean", mean, 0.0), ("--std", std, 1e-6)):
        for value in numbers or ():
            if not (math.isfinite(value) and least <= value <= 1):
                raise DeployBenchError(
                    f"{flag} {value:g}", expected=f"of pixels in [0, 1]: from {least:g} to 1"
                )


def number_list(numbers: Sequence[float]) -> str:
    """``0.485,0.456,0.406``; equal ones once."""
    if len(set(numbers)) == 1:
        numbers = numbers[:1]
    return ",".join(f"{value:.4g}" for value in numbers)


def _largest(numbers: Sequence[float] | None) -> float:
    return max(numbers or (0.0,))


def _for_channels(flag: str, numbers: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(numbers) == 1:
        return numbers * channels
    if len(numbers) != channels:
        raise DeployBenchError(
            f"{flag} has {counted(len(numbers), 'value')}, and the model takes "
            f"{counted(channels, 'channel')}",
            expected=f"{channels}, with commas, or one for all",
        )
    return numbers


def _check_word(kind: str, word: str | None, known: Sequence[str]) -> None:
    if word is not None and word not in known:
        raise unknown_name(kind, word, known)


def _check_color(color: str, channels: int) -> None:
    if channels == 1 and color != "grey":
        raise DeployBenchError(
            f"--color {color}, and the model takes 1 channel", expected="grey, or no --color"
        )
