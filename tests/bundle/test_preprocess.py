"""The preprocessing of a bundle is the artifact's to the last bit, and refuses what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.bundle.shipped.preprocess import ImageError
from deploybench.bundle.shipped.preprocess import read_image as read_in_bundle
from deploybench.data.image_files import MODES
from deploybench.data.preprocess import read_image
from deploybench.errors import DeployBenchError
from tests.data.pictures import (
    animation,
    big_endian_tiff,
    bomb,
    colours_of_16_bits,
    encoded,
    of_16_bits,
    of_32_bits,
    of_floats,
    palette_with_hole,
    ramp_8,
    turned,
    white_is_zero,
    with_hole,
    written,
)

PLAIN = Preprocessing(
    channels=3,
    height=32,
    width=32,
    crop_fraction=0.875,
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


def photograph(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels).resize((width, height), Image.Resampling.BICUBIC)


PICTURES: dict[str, bytes | Image.Image | Callable[[], bytes]] = {
    "wide.png": photograph(90, 41),
    "tall.jpg": photograph(37, 120),
    "small.png": photograph(20, 19),
    "strip.png": photograph(3000, 1),
    "turned.jpg": turned(6),
    "mirrored.jpg": turned(7),
    "hole.png": with_hole("RGBA"),
    "grey-hole.png": with_hole("LA"),
    "palette.png": palette_with_hole(),
    "grey.png": ramp_8(),
    "bits.png": ramp_8().convert("1"),
    "cmyk.jpg": encoded(photograph(50, 40).convert("CMYK"), "JPEG"),
    "deep.png": of_16_bits(65535),
    "dark.png": of_16_bits(4095),
    "floats.tif": of_floats(0, 1),
    "hounsfield.tif": of_floats(-1000, 400),
    "signed.tif": of_32_bits(-5, 9),
    "big.tif": big_endian_tiff,
    "white-is-zero.tif": white_is_zero,
    "colours.png": lambda: colours_of_16_bits(65535),
    "dark-colours.png": lambda: colours_of_16_bits(4095),
    "frames.gif": animation,
    "bomb.png": bomb,
    "text.txt": b"no image at all",
    "empty.png": b"",
    "cut.png": encoded(photograph(60, 60), "PNG")[:300],
    "raw.nef": encoded(photograph(30, 30), "TIFF"),
    "drawing.eps": encoded(photograph(30, 30), "EPS"),
}
CHANGES = {
    "plain": {},
    "grey": {"color": "grey"},
    "bgr": {"color": "bgr", "interpolation": "bilinear"},
    "one channel": {"channels": 1, "color": "grey", "mean": (0.4,), "std": (0.3,)},
    "squash": {"crop_mode": "squash", "crop_fraction": 1.0, "height": 24},
    "border": {"crop_mode": "border", "crop_fraction": 1.0, "width": 40, "mean": (0.9, 0.5, 0.1)},
    "border, bgr": {"crop_mode": "border", "color": "bgr", "mean": (0.9, 0.5, 0.1)},
    "wide": {"width": 48, "crop_fraction": 1.15, "interpolation": "lanczos"},
    "trimmed": {"crop_border_pixels": 8, "interpolation": "nearest"},
    "window": {"window": (0.0, 4095.0)},
    "window of hounsfield": {"window": (-160.0, 240.0), "interpolation": "hamming"},
    "narrow window, border": {"window": (20.0, 200.0), "crop_mode": "border"},
    "black background": {"background": "black"},
    "alpha dropped": {"background": "drop", "interpolation": "box"},
    "as stored": {"orientation": "keep"},
}


@pytest.mark.parametrize("name", PICTURES)
def test_same_pixels_or_the_same_refusal_under_every_preprocessing(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, name, PICTURES[name])
    content = path.read_bytes()
    for what, changes in CHANGES.items():
        spec = PLAIN.replaced(**changes)
        as_data = spec.model_dump(mode="json")
        try:
            expected = read_image(path, spec)
        except DeployBenchError:
            with pytest.raises(ImageError):
                read_in_bundle(content, as_data, path.name)
            continue
        pixels, notes = read_in_bundle(content, as_data, path.name)
        assert pixels.dtype == np.float32
        assert np.array_equal(pixels, expected.pixels), what
        for words in ("EXIF orientation", "lie on", "frames", "inverted", "grey", "CMYK"):
            told = any(words in note for note in expected.notes)
            assert any(words in note for note in notes) == told, (what, words)


def test_a_part_of_a_huge_resize_is_that_of_the_artifact(tmp_path: Path) -> None:
    spec = PLAIN.replaced(height=224, width=224)
    path = written(tmp_path, "strip.png", photograph(60_000, 3))
    pixels, _ = read_in_bundle(path.read_bytes(), spec.model_dump(mode="json"))
    assert np.array_equal(pixels, read_image(path, spec).pixels)


def test_dicom_is_refused_with_what_to_do(tmp_path: Path) -> None:
    content = b"\0" * 128 + b"DICM" + b"\0" * 100
    with pytest.raises(ImageError, match="DICOM file: convert it to PNG"):
        read_in_bundle(content, PLAIN.model_dump(mode="json"))


def test_pictures_and_changes_reach_both_numbers_of_channels() -> None:
    assert {PLAIN.replaced(**changes).channels for changes in CHANGES.values()} == set(MODES)
