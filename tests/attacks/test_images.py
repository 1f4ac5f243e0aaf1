"""Images, and what prepares them, that were written to break what reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_files import open_picture
from deploybench.errors import DeployBenchError
from tests.attacks.hostile import CRASHED, attack

IMAGES = "Images"
PLAIN = {
    "channels": 3,
    "height": 8,
    "width": 8,
    "crop_fraction": 1.0,
    "interpolation": "bilinear",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param(
            field,
            value,
            id=what,
            marks=attack(IMAGES, f"preprocessing with {what}", before, "refused where it is read"),
        )
        for what, field, value, before in [
            ("a height of 0", "height", 0, CRASHED),
            ("a width of a billion", "width", 10**9, "a traceback (MemoryError)"),
            ("two means for three channels", "mean", (0.5, 0.5), CRASHED),
            ("one mean for three channels", "mean", (0.5,), "one mean for all, in silence"),
            ("a deviation of 0", "std", (0.5, 0.5, 0.0), "infinite inputs, in silence"),
            ("a deviation below 0", "std", (0.5, 0.5, -1.0), "a negative, in silence"),
            ("a mean that is infinite", "mean", (0.5, 0.5, float("inf")), "infinite inputs"),
        ]
    ],
)
def test_preprocessing_that_prepares_no_image(field: str, value: object) -> None:
    Preprocessing.model_validate(PLAIN)
    with pytest.raises(ValueError, match=field):
        Preprocessing.model_validate({**PLAIN, field: value})


@pytest.mark.timeout(30)
@attack(
    IMAGES,
    "an image of one row of 1,200,000 pixels; of 50,000 x 50,000",
    "12 s and 2 GB for a row of 100 million",
    "refused before it is decoded: 'too large to be read safely'",
)
def test_image_that_is_a_line(tmp_path: Path) -> None:
    spec = Preprocessing.model_validate(PLAIN)
    Image.new("L", (1, 1_200_000)).save(tmp_path / "line.png")
    (tmp_path / "huge.ppm").write_bytes(b"P6 50000 50000 255\n")
    for name in ("line.png", "huge.ppm"):
        with pytest.raises(DeployBenchError, match="too large to be read safely"):
            open_picture(tmp_path / name, spec)
    Image.new("L", (1, 50_000)).save(tmp_path / "long.png")
    open_picture(tmp_path / "long.png", spec)


@pytest.mark.timeout(30)
@attack(
    IMAGES,
    "headers that promise what is not there: BMP, GIF, PNG, TIFF, WebP, DICOM",
    "refused",
    "refused in words",
)
def test_broken_headers(tmp_path: Path) -> None:
    spec = Preprocessing.model_validate(PLAIN)
    bmp = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54)
    bmp += struct.pack("<IiiHHIIiiII", 40, 60000, -60000, 1, 24, 0, 0, 0, 0, 0, 0)
    contents = {
        "a.bmp": bmp,
        "b.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf7\0\0" + bytes(768),
        "c.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "d.tif": b"II*\0\x08\0\0\0\xff\xff" + b"\0\1\3\0\xff\xff\xff\xff\0\0\0\0" * 200,
        "e.webp": b"RIFF\xff\xff\xff\xffWEBPVP8X" + bytes(40),
        "f.dcm": bytes(128) + b"DICM" + bytes(1000),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DeployBenchError):
            open_picture(tmp_path / name, spec)
