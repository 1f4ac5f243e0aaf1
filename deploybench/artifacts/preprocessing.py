"""How an image file becomes the input of a model, as a manifest says it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploybench.documents import Document

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

    channels: int
    height: int
    width: int
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
