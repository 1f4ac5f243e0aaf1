"""How an image file becomes the input of a model, as a manifest says it."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from deploybench.documents import Document
from deploybench.plurals import counted

MOST_PIXELS = 1 << 16
"""A side: more than any network takes."""
Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"]
CropMode = Literal["center", "squash", "border"]
Color = Literal["rgb", "bgr", "grey"]
Background = Literal["white", "black", "drop"]
Orientation = Literal["apply", "keep"]
PreprocessingPart = Literal["image_size", "crop", "interpolation", "mean", "std"]


class Preprocessing(Document):
    """From an image file to the model's input.

    In this order: read, trim, resize, crop or pad, scale to [0, 1], normalise by channel. Resizing
    and cropping are those of timm's evaluation transform; see ``deploybench.data.preprocess``.
    """

    channels: int = Field(ge=1, le=4096)
    height: int = Field(ge=1, le=MOST_PIXELS)
    width: int = Field(ge=1, le=MOST_PIXELS)
    crop_fraction: float = Field(
        gt=0, le=2, description="over 1 the image is smaller than the target, and padded with black"
    )
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_mode: CropMode = Field(
        default="center",
        description="the shorter side fits the target / crop_fraction and the centre is cropped; "
        "or both sides are resized to it, whatever their ratio; or the longer side fits it and the "
        "rest is padded with the mean",
    )
    crop_border_pixels: int = Field(
        default=0, ge=0, description="taken off every edge of the image before it is resized"
    )
    color: Color = Field(default="rgb", description="the order of the channels that the model sees")
    window: tuple[float, float] | None = Field(
        default=None,
        description="the values of the file that are black and white; None: what its mode spans",
    )
    background: Background = Field(
        default="white", description="what transparent parts are laid on; drop forgets the alpha"
    )
    orientation: Orientation = Field(
        default="apply", description="whether an image is turned as its EXIF orientation says"
    )
    assumed: tuple[PreprocessingPart, ...] = Field(
        default=(), description="what nobody gave: neither the user nor those who made the weights"
    )

    @model_validator(mode="after")
    def _one_of_each_channel(self) -> Preprocessing:
        """One mean and one deviation a channel: fewer or more would be spread over the image."""
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                raise ValueError(
                    f"{name} has {counted(len(values), 'value')} for {self.channels} channels"
                )
            if not all(math.isfinite(value) for value in values):
                raise ValueError(f"{name} holds a value that is not finite")
        if min(self.std) <= 0:
            raise ValueError(f"std holds {min(self.std):g}: inputs are divided by it")
        return self
