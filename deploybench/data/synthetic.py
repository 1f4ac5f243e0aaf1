"""Reference inputs: seeded images with the statistics of photographs, as the model wants them.

White noise is far from what a vision model sees. Natural images have amplitude spectra that fall
as 1/f (Field 1987); so do these.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError

REFERENCE_IMAGES = 4
BRIGHTNESS, CONTRAST = (0.3, 0.7), 0.2
"""The mean of a channel is drawn between these; pixels deviate from it by that, of a range of 1."""


def reference_inputs(
    preprocessing: Preprocessing, images: int = REFERENCE_IMAGES, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Normalised images, float32, shape (images, channels, height, width).

    They are the same for the same arguments.
    """
    generator = np.random.default_rng(seed)
    shape = (images, preprocessing.channels, preprocessing.height, preprocessing.width)

    # The distance of each entry of the spectrum (height x (width / 2 + 1)) from frequency 0. The
    # constant part has none; it is taken out, and brightness comes by itself below.
    rows = np.fft.fftfreq(preprocessing.height)[:, None]
    columns = np.fft.rfftfreq(preprocessing.width)[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf

    # White noise has a flat spectrum; divided by the frequency it falls as 1/f. Then unit contrast.
    spectrum = np.fft.rfft2(generator.standard_normal(shape)) / frequency
    fields = np.fft.irfft2(spectrum, s=shape[-2:])
    fields /= fields.std(axis=(-2, -1), keepdims=True)

    # Pixels from 0 to 1, of another brightness in each channel of each image.
    brightness = generator.uniform(*BRIGHTNESS, size=(images, preprocessing.channels, 1, 1))
    pixels = np.clip(brightness + CONTRAST * fields, 0, 1)

    return normalised(pixels, preprocessing)


def normalised(
    pixels: npt.NDArray[np.float64], preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    """Pixels from 0 to 1, shape (images, channels, height, width), as the model wants them."""
    # One mean and one deviation a channel.
    mean = np.array(preprocessing.mean).reshape(1, -1, 1, 1)
    std = np.array(preprocessing.std).reshape(1, -1, 1, 1)
    return np.ascontiguousarray((pixels - mean) / std, dtype=np.float32)


def whole_batches(images: npt.NDArray[np.float32], batch: int) -> list[npt.NDArray[np.float32]]:
    """``images`` in batches of exactly that size, in order.

    Where they do not fill the last, it goes on from the first image.
    """
    calls = math.ceil(len(images) / batch)
    order = np.arange(calls * batch) % len(images)
    return [np.ascontiguousarray(images[indices]) for indices in np.split(order, calls)]


SAMPLE_IMAGE = Preprocessing(
    channels=3,
    height=480,
    width=640,
    crop_fraction=1,
    interpolation="bilinear",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
"""The sample photograph's size, with pixels left in [0, 1]."""
SAMPLE_QUALITY = 90


def write_sample_image(path: Path) -> None:
    """Write a JPEG of 640 x 480 with the statistics of a photograph, always the same one.

    Needs Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DeployBenchError(
            "writing images needs Pillow", action='pip install "deploybench[image]"'
        ) from error
    (pixels,) = reference_inputs(SAMPLE_IMAGE, images=1)
    levels = np.round(pixels.transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(levels).save(path, "JPEG", quality=SAMPLE_QUALITY)
