"""Images in arrays, by the rules of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from deploybench.data.image_arrays import picture_of
from deploybench.data.image_files import open_picture
from deploybench.errors import DeployBenchError
from tests.data.sets import PLAIN

GREY = PLAIN.replaced(channels=1, mean=(0.0,), std=(1.0,))
DRAW = np.random.default_rng(0)


@pytest.mark.parametrize(
    "values",
    [
        DRAW.integers(0, 256, (9, 7), dtype=np.uint8),
        DRAW.integers(0, 256, (9, 7, 3), dtype=np.uint8),
        DRAW.integers(0, 256, (9, 7, 4), dtype=np.uint8),
        DRAW.integers(0, 65536, (9, 7), dtype=np.uint16),
    ],
)
@pytest.mark.parametrize("spec", [PLAIN, GREY])
def test_array_is_what_a_file_of_it_would_be(
    tmp_path: Path, values: npt.NDArray[Any], spec: Any
) -> None:
    Image.fromarray(values).save(tmp_path / "x.png")
    of_file = open_picture(tmp_path / "x.png", spec)
    of_array = picture_of(values, spec, "there")
    assert of_file.notes == of_array.notes
    for one, other in zip(of_file.bands, of_array.bands, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_bits_floats_and_single_channels_are_images_too() -> None:
    ones = picture_of(np.ones((4, 4), dtype=bool), GREY, "there")
    assert np.asarray(ones.bands[0]).max() == 255
    halves = picture_of(np.full((4, 4, 1), 0.5), GREY, "there")
    assert np.allclose(np.asarray(halves.bands[0]), 0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((4, 4, 2), np.uint8), "does not read as an image"),
        (np.zeros((4,), np.uint8), "does not read as an image"),
        (np.zeros((0, 4), np.uint8), "does not read as an image"),
        (np.full((4, 4), 300.0), "floating-point values from 300"),
        (np.full((4, 4), np.nan), "no finite numbers"),
        (np.full((4, 4), 900, np.uint16), "of fewer bits, or a dark image"),
        (np.full((4, 4), -5, np.int16), "what is black and white there is not known"),
    ],
)
def test_array_that_may_mean_anything_is_refused(values: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        picture_of(values, GREY, "x.npz, image 3")
