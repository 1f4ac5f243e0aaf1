"""What is no image, or no image whose values can be told, is refused in words, and quickly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploybench.data.preprocess import load_image
from deploybench.errors import DeployBenchError
from tests.data import pictures
from tests.data.pictures import SIZE, encoded, written
from tests.data.test_image_files import COLOURS, GREY, WHITE, trust


def refused(case: str, name: str, content: object, words: str, before: str) -> Any:
    marks = trust(12, case, before, f"refused: '{words}'")
    return pytest.param(name, content, words, marks=marks, id=name)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        refused(
            "12 bits in a 16-bit PNG",
            "twelve.png",
            pictures.of_16_bits(4095),
            "if 4095 is white, --levels 4095",
            "94 % of it white: all values over 255 were cut off",
        ),
        refused(
            "14 bits in a 16-bit TIFF",
            "fourteen.tif",
            pictures.of_16_bits(16000),
            "if 16383 is white, --levels 16383",
            WHITE,
        ),
        refused(
            "12 bits in a PNG of 16 bits a colour",
            "colours.png",
            lambda: pictures.colours_of_16_bits(4095),
            "none reaches a quarter of white",
            "a black image: at most 15 of 255",
        ),
        refused(
            "float TIFF from 0 to 255",
            "floats.tif",
            pictures.of_floats(0, 255),
            "--window LOW,HIGH",
            "taken for 8 bits, without a word (right here, by luck)",
        ),
        refused(
            "CT slice in Hounsfield units, floats",
            "hounsfield.tif",
            pictures.of_floats(-1000, 1000),
            "floating-point values from -1000 to 1000",
            "clipped at 0 and 255: 50 % black and 38 % white",
        ),
        refused(
            "CT slice in Hounsfield units, 32-bit integers",
            "slice.tif",
            pictures.of_32_bits(-1000, 2000),
            "values from -1000 to 2000",
            "clipped at 0 and 255: 34 % black and 58 % white",
        ),
        refused(
            "32-bit integers",
            "integers.tif",
            pictures.of_32_bits(0, 3000),
            "values from 0 to 3000",
            WHITE,
        ),
        refused(
            "values that are NaN",
            "nan.tif",
            pictures.of_floats(float("nan"), 1),
            "no finite numbers",
            "a black image",
        ),
        refused(
            "LAB TIFF",
            "lab.tif",
            Image.new("LAB", (SIZE, SIZE), (128, 128, 128)),
            "save it as RGB",
            "for RGB: converted without a word; for grey: a traceback (ValueError)",
        ),
        refused(
            "PNG that promises 40,000 x 40,000 pixels",
            "bomb.png",
            pictures.bomb,
            "too large to be read safely",
            "a traceback (DecompressionBombError)",
        ),
        refused(
            "PNG with a comment of 100 million characters",
            "text.png",
            pictures.huge_text,
            "does not read as an image",
            "a traceback (ValueError)",
        ),
        (
            "short.jpg",
            lambda: encoded(pictures.ramp_colours(), "JPEG")[:700],
            "does not read as an image",
        ),
        refused(
            "PNG with a damaged header",
            "header.png",
            b"\x89PNG\r\n\x1a\n" + bytes(40),
            "a PNG whose header is damaged",
            "refused: 'cannot identify image file'",
        ),
        refused(
            "empty file", "empty.png", b"", "it is empty", "refused: 'cannot identify image file'"
        ),
        refused(
            "DICOM file that is damaged",
            "slice.dcm",
            bytes(128) + b"DICM" + bytes(64),
            "it is a DICOM file without an image",
            "refused: 'cannot identify image file'",
        ),
        refused(
            "NumPy array",
            "array.npy",
            b"\x93NUMPY" + bytes(80),
            "it is a NumPy array",
            "refused: 'cannot identify image file'",
        ),
        refused(
            "Git LFS pointer named .png",
            "pointer.png",
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
            "refused: 'cannot identify image file'",
        ),
        refused(
            "HTML page named .jpg",
            "page.jpg",
            b"<!DOCTYPE html><html></html>",
            "it is an HTML page",
            "refused: 'cannot identify image file'",
        ),
        refused(
            "EPS drawing",
            "drawing.eps",
            lambda: encoded(pictures.ramp_colours(), "EPS"),
            "another program would have to render",
            "Ghostscript was looked for: 'Unable to locate Ghostscript on paths'",
        ),
        refused(
            "camera's raw file",
            "photo.nef",
            lambda: encoded(pictures.ramp_colours(), "TIFF"),
            "only a preview would be read",
            "read as any TIFF; by reading: of a camera's file that is its preview",
        ),
    ],
)
def test_image_whose_values_cannot_be_told_is_refused_with_what_to_do(
    name: str, content: Any, words: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    for spec in (GREY, COLOURS):
        with pytest.raises(DeployBenchError) as refusal:
            load_image(path, spec)
        assert words in str(refusal.value)
        assert name in refusal.value.found


@trust(
    12,
    "a folder, a pipe or a device instead of an image",
    "a pipe was waited for (stopped after 10 s); a device: 'cannot identify image file'",
    "refused: 'is a device, a pipe or a socket'",
)
@pytest.mark.timeout(20)
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path, words in (
        (pipe, "a device, a pipe or a socket"),
        (Path("/dev/zero"), "a device, a pipe or a socket"),
        (tmp_path, "is a folder"),
        (tmp_path / "absent.png", "there is no image"),
        (tmp_path / ("x" * 300 + ".png"), "cannot be read"),
        (tmp_path / "a\0b.png", "cannot be read"),
    ):
        with pytest.raises(DeployBenchError, match=words):
            load_image(path, COLOURS)


@trust(
    12,
    "a strip of 1 x 200,000 pixels for a model of 224 x 224",
    "resized to 224 x 44,800,000 pixels (40 GB): MemoryError",
    "resized where it is not cropped away: less than 2 GB of addresses",
)
def test_long_strip_takes_little_memory(tmp_path: Path) -> None:
    strip = Image.fromarray(np.arange(200_000, dtype=np.uint32).astype(np.uint8)[:, None])
    strip.save(tmp_path / "strip.png")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from tests.data.test_image_files import COLOURS\n"
        "from deploybench.data.preprocess import load_image\n"
        "spec = COLOURS.replaced(height=224, width=224)\n"
        "load_image(Path(sys.argv[1]), spec)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "strip.png"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
