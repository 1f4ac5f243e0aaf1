"""What is changed at random in an image before it is trained on.

It begins with the picture as it was read (``DataSet.picture``) and ends in what evaluation sees:
the model's height and width, scaled and normalised by the same code. In this order, which is
timm's: a random part of the image resized (or the whole, as evaluation has it), padding with a
random crop, flips, RandAugment, colour jitter, scaling and normalising, random erasing. Mixup and
cutmix join images of a batch: :class:`Mixing`.

RandAugment and colour jitter work on pixels of 8 bits. Values of more bits (16-bit files, DICOM)
are rounded to 256 levels for them, and a note says so; without them they keep their depth.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import WHITE_8, Picture
from deploybench.data.preprocess import fitted, input_of_fitted
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.training.draws import seeded

if TYPE_CHECKING:
    from PIL.Image import Image

WHOLE = (1.0, 1.0)
RAND_AUGMENT = re.compile(r"rand(-(m|n|p|mstd|mmax|inc)\d+(\.\d+)?|-t\w+)*")
TRANSLATED = 0.45
"""The largest share of the image's side by which RandAugment moves it: as in timm."""
IN_8_BITS = (
    "values of more than 8 bits are rounded to 256 levels in training: RandAugment and colour "
    "jitter work on those"
)


class Augmentation(Document):
    """What may be changed, and how much. All off: training sees exactly what evaluation sees."""

    scale: tuple[float, float] = Field(
        default=(0.35, 1.0),
        description="the share of the image's area of which a random part is taken and resized; "
        "1 to 1: no part, resized and cropped as for evaluation",
    )
    ratio: tuple[float, float] = Field(
        default=(3 / 4, 4 / 3), description="the part's width by its height, at least and at most"
    )
    horizontal_flip: float = Field(default=0.5, ge=0, le=1, description="probability")
    vertical_flip: float = Field(default=0.0, ge=0, le=1, description="probability")
    rand_augment: str | None = Field(
        default=None, description="timm's words for it: rand-m9-mstd0.5"
    )
    color_jitter: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="brightness, contrast and saturation, by a factor of 1 minus to 1 plus it",
    )
    random_erasing: float = Field(default=0.0, ge=0, le=1, description="probability")
    pad: int = Field(
        default=0, ge=0, description="pixels added on every edge before a random crop (CIFAR)"
    )
    mixup: float = Field(default=0.0, ge=0, description="alpha of timm's Mixup")
    cutmix: float = Field(default=0.0, ge=0, description="alpha of timm's cutmix")

    @model_validator(mode="after")
    def _in_order(self) -> Augmentation:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise ValueError(f"{name} from {low:g} to {high:g}: two numbers over 0 in order")
        if self.scale[1] > 1:
            raise ValueError(f"scale up to {self.scale[1]:g}: at most the whole image, 1")
        return self

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are joined."""
        return self.mixup > 0 or self.cutmix > 0

    @property
    def changes_images(self) -> bool:
        """Whether a single image is changed."""
        return self.replaced(mixup=0.0, cutmix=0.0, ratio=NOTHING.ratio) != NOTHING

    @property
    def works_on_8_bits(self) -> bool:
        """Whether a step works on 256 levels."""
        return self.rand_augment is not None or self.color_jitter > 0


NOTHING = Augmentation(scale=WHOLE, horizontal_flip=0.0)
"""All off."""


class Augmenter:
    """Makes the model's input out of a picture.

    Raises DeployBenchError for words that timm's RandAugment does not know.
    """

    def __init__(self, augmentation: Augmentation, spec: Preprocessing) -> None:
        self._augmentation = augmentation
        self._spec = spec
        self._on_8_bits = _steps_on_8_bits(augmentation, spec)
        self._erasing: Any = None
        if augmentation.random_erasing:
            from timm.data.random_erasing import RandomErasing

            self._erasing = RandomErasing(augmentation.random_erasing, mode="pixel", device="cpu")

    def input(
        self, picture: Picture, place: str, key: tuple[object, ...]
    ) -> tuple[torch.Tensor, tuple[str, ...]]:
        """The augmented image, float32 of shape (channels, height, width), and the notes on it.

        ``key`` says which draw it is: the same for the same key. ``place`` is where the picture
        lies, as an error says it. Raises DeployBenchError.
        """
        with seeded(*key):
            drawn = self._picture(picture, place)
            pixels = torch.from_numpy(input_of_fitted(drawn, self._spec).pixels)
            if self._erasing is not None:
                pixels = self._erasing(pixels)
        return pixels, drawn.notes

    def _picture(self, picture: Picture, place: str) -> Picture:
        """The picture in the model's height and width, changed."""
        from PIL.Image import Transpose

        augmentation = self._augmentation
        if augmentation.scale == WHOLE:
            picture = fitted(picture, self._spec, place)
        else:
            picture = self._part(picture, place)
        if augmentation.pad:
            picture = _moved(picture, augmentation.pad)
        if augmentation.horizontal_flip and torch.rand(()) < augmentation.horizontal_flip:
            picture = _each(picture, lambda band: band.transpose(Transpose.FLIP_LEFT_RIGHT))
        if augmentation.vertical_flip and torch.rand(()) < augmentation.vertical_flip:
            picture = _each(picture, lambda band: band.transpose(Transpose.FLIP_TOP_BOTTOM))
        if self._on_8_bits:
            picture = _changed_in_8_bits(picture, self._on_8_bits)
        return picture

    def _part(self, picture: Picture, place: str) -> Picture:
        """A random part of the picture in the model's height and width."""
        from PIL.Image import Resampling
        from torchvision.transforms import RandomResizedCrop

        spec = self._spec
        border = spec.crop_border_pixels
        if border:
            # As for evaluation; the size that it would resize to plays no part yet.
            width, height = picture.size
            if min(picture.size) <= 2 * border:
                fitted(picture, spec, place)  # which says what is wrong
            inner = (border, border, width - border, height - border)
            picture = _each(picture, lambda band: band.crop(inner))
        top, left, height, width = RandomResizedCrop.get_params(
            picture.bands[0], list(self._augmentation.scale), list(self._augmentation.ratio)
        )
        box = (left, top, left + width, top + height)
        size = (spec.width, spec.height)
        filter_ = Resampling[spec.interpolation.upper()]
        return _each(picture, lambda band: band.crop(box).resize(size, filter_))


def _each(picture: Picture, change: Any) -> Picture:
    return replace(picture, bands=tuple(change(band) for band in picture.bands))


def _moved(picture: Picture, pad: int) -> Picture:
    """Padded with black on every edge, and a random part of the former size taken out."""
    from PIL.ImageOps import expand

    width, height = picture.size
    left, top = (int(offset) for offset in torch.randint(0, 2 * pad + 1, (2,)))
    box = (left, top, left + width, top + height)
    return _each(picture, lambda band: expand(band, pad, fill=0).crop(box))


def _steps_on_8_bits(augmentation: Augmentation, spec: Preprocessing) -> tuple[Any, ...]:
    steps: tuple[Any, ...] = ()
    if augmentation.rand_augment is not None:
        steps += (_rand_augment(augmentation.rand_augment, spec),)
    if augmentation.color_jitter:
        from torchvision.transforms import ColorJitter

        much = augmentation.color_jitter
        steps += (ColorJitter(much, much, much),)
    return steps


def _rand_augment(words: str, spec: Preprocessing) -> Any:
    """timm's RandAugment, with the settings that its own training gives it."""
    from timm.data.auto_augment import rand_augment_transform
    from timm.data.transforms import str_to_pil_interp

    levels = tuple(min(WHITE_8, round(WHITE_8 * mean)) for mean in spec.mean)
    if spec.color == "bgr":
        levels = levels[::-1]
    # What moves into the image from beyond its edges: a grey image has one number for it.
    fill: int | tuple[int, ...] = levels
    if len(levels) == 1:
        fill = levels[0]
    settings = {
        "translate_const": int(min(spec.height, spec.width) * TRANSLATED),
        "img_mean": fill,
        "interpolation": str_to_pil_interp(spec.interpolation),
    }
    refusal = DeployBenchError(
        f"rand_augment '{words}' does not read",
        expected="timm's words for RandAugment: rand-m9-mstd0.5, rand-m6-n2",
    )
    # timm passes over a word without a number.
    if not RAND_AUGMENT.fullmatch(words):
        raise refusal
    try:
        return rand_augment_transform(words, settings)
    except (AssertionError, ValueError, KeyError):
        raise refusal from None


def _changed_in_8_bits(picture: Picture, steps: tuple[Any, ...]) -> Picture:
    """The steps done on 8-bit pixels; floats are rounded to 256 levels for them."""
    from PIL.Image import fromarray, merge

    deep = picture.bands[0].mode == "F"
    image = picture.bands[0]
    if deep:
        rounded = [fromarray(_levels(band)) for band in picture.bands]
        image = rounded[0]
        if len(rounded) > 1:
            image = merge("RGB", rounded)
    for step in steps:
        image = step(image)
    notes = picture.notes
    bands: tuple[Image, ...] = (image,)
    if deep:
        notes += (IN_8_BITS,)
        bands = tuple(
            fromarray(np.asarray(band, dtype=np.float32) / np.float32(WHITE_8))
            for band in image.split()
        )
    return replace(picture, bands=bands, notes=notes)


def _levels(band: Image) -> npt.NDArray[np.uint8]:
    """Values from 0 to 1 as levels from 0 to 255. Bicubic overshoots: cut off there."""
    values = np.clip(np.asarray(band, dtype=np.float32), 0, 1)
    return np.rint(values * WHITE_8).astype(np.uint8)


class Mixing:
    """Mixup and cutmix: each image of a batch is joined with another, and so are their targets.

    timm's ``Mixup``, in its usual form: the batch with itself in reverse. Where both are on, one of
    them is drawn for each batch. No label smoothing: that is the loss's.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        self._augmentation = augmentation

    def mixed(
        self,
        pixels: torch.Tensor,
        targets: torch.Tensor,
        known: torch.Tensor | None,
        key: tuple[object, ...],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Images (an even number, images x channels x height x width), their targets (images x
        classes, float) and what of the targets is known (images x classes, or None), mixed.

        A mixed target is known where those of both images are.
        """
        from timm.data.mixup import Mixup

        count = len(pixels)
        mixup = Mixup(
            mixup_alpha=self._augmentation.mixup,
            cutmix_alpha=self._augmentation.cutmix,
            label_smoothing=0.0,
            num_classes=count,
        )
        with seeded(*key):
            # timm mixes one-hot labels. With each image as a class of its own they say how much of
            # which image (columns) is in which (rows): that mixes targets of any form.
            pixels, shares = mixup(pixels.clone(), torch.arange(count))
        mixed = shares @ targets
        if known is not None:
            unknown = shares @ (~known).to(shares.dtype)
            known = unknown == 0
        return pixels, mixed, known
