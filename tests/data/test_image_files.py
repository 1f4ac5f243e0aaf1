"""Images that are not 8-bit RGB: scaled as their mode says, or refused with what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.preprocess import load_image, read_image
from tests.data import pictures
from tests.data.pictures import SIZE, encoded, written

COLOURS = Preprocessing(
    channels=3,
    height=SIZE,
    width=SIZE,
    crop_fraction=1,
    interpolation="bilinear",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
GREY = COLOURS.replaced(channels=1, mean=(0,), std=(1,))
WHITE = "a white image (over 90 % of its pixels): all values over 255 were cut off"
SMALLEST_STEP = 1 / 255


def trust(item: int, case: str, before: str, now: str) -> pytest.MarkDecorator:
    return pytest.mark.trust(item=item, case=case, before=before, now=now)


def scaled(case: str, name: str, content: object, note: str, before: str = WHITE) -> Any:
    now = f"read from black to white: '{note}'"
    return pytest.param(name, content, note, marks=trust(12, case, before, now), id=name)


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        scaled(
            "16-bit grey PNG", "grey.png", pictures.of_16_bits(65535), "16-bit image: scaled by"
        ),
        scaled(
            "16-bit grey TIFF", "grey.tif", pictures.of_16_bits(65535), "16-bit image: scaled by"
        ),
        scaled(
            "16-bit TIFF, the larger byte first",
            "big.tif",
            pictures.big_endian_tiff,
            "16-bit image: scaled by",
        ),
        scaled(
            "16-bit PGM",
            "grey.pgm",
            encoded(pictures.of_32_bits(0, 65535), "PPM"),
            "16-bit image: scaled by",
        ),
        scaled(
            "float TIFF from 0 to 1",
            "float.tif",
            pictures.of_floats(0, 1),
            "floating-point values: 0 is black",
            "a black image: 0 to 1 of 255",
        ),
    ],
)
def test_values_beyond_8_bits_are_scaled_by_what_their_mode_spans(
    name: str, content: Any, note: str, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    for spec in (GREY, COLOURS):
        read = read_image(path, spec)
        expected = np.broadcast_to(pictures.RAMP, read.pixels.shape)
        assert np.allclose(read.pixels, expected, atol=SMALLEST_STEP / 2)
        assert any(note in said for said in read.notes)


@trust(
    12,
    "16-bit TIFF that counts from white to black",
    WHITE,
    "inverted: 'in this file white is the smallest value'",
)
def test_16_bit_tiff_that_counts_from_white_is_inverted(tmp_path: Path) -> None:
    read = read_image(written(tmp_path, "inverted.tif", pictures.white_is_zero), GREY)
    assert np.allclose(read.pixels[0], 1 - pictures.RAMP, atol=SMALLEST_STEP)
    assert any("inverted" in note for note in read.notes)


@pytest.mark.parametrize(
    ("name", "content", "window"),
    [
        ("twelve.png", pictures.of_16_bits(4095), (0, 4095)),
        ("dark.png", pictures.of_16_bits(4095), (0, 65535)),
        ("slice.tif", pictures.of_floats(-1000, 1000), (-160, 240)),
        ("integers.tif", pictures.of_32_bits(-1000, 2000), (-1000, 2000)),
        ("eight.png", pictures.ramp_8(), (50, 200)),
        ("colours.png", pictures.ramp_colours(), (50, 200)),
    ],
)
def test_window_says_what_is_black_and_white(
    name: str, content: Any, window: tuple[float, float], tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    low, high = window
    with Image.open(path) as image:
        values = np.asarray(image, dtype=np.float64)
    if values.ndim == 3:
        values = values[:, :, 0]
    expected = np.clip((values - low) / (high - low), 0, 1)
    read = read_image(path, GREY.replaced(window=window))
    assert np.allclose(read.pixels[0], expected, atol=1e-5)
    assert any(f"{low:g} to {high:g} taken as black and white" in note for note in read.notes)


def test_window_beyond_8_bits_is_not_that_of_an_8_bit_image(tmp_path: Path) -> None:
    path = written(tmp_path, "eight.png", pictures.ramp_8())
    read = read_image(path, GREY.replaced(window=(0, 4095)))
    assert np.array_equal(read.pixels, load_image(path, GREY))
    assert any("8-bit image, scaled by 255" in note for note in read.notes)


def test_16_bit_image_that_is_black_all_over_is_black(tmp_path: Path) -> None:
    path = written(tmp_path, "black.png", pictures.of_16_bits(0))
    assert load_image(path, GREY).max() == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            name,
            content,
            id=name,
            marks=trust(
                12,
                case,
                "what is hidden under the transparency was shown (black)",
                "laid on white, and said; --background black or drop",
            ),
        )
        for case, name, content in (
            ("PNG with transparent parts", "rgba.png", pictures.with_hole("RGBA")),
            ("grey PNG with transparent parts", "la.png", pictures.with_hole("LA")),
            ("palette with a transparent colour", "palette.png", pictures.palette_with_hole()),
        )
    ],
)
def test_transparent_parts_lie_on_the_background(
    name: str, content: Image.Image, tmp_path: Path
) -> None:
    path = written(tmp_path, name, content)
    for background, hole in (("white", 1.0), ("black", 0.0), ("drop", 0.0)):
        for spec in (GREY, COLOURS):
            read = read_image(path, spec.replaced(background=background))
            assert np.all(read.pixels[:, :, : SIZE // 2] == hole)
            assert np.allclose(read.pixels[:, :, SIZE // 2 :], 128 / 255)
            assert any("transparen" in note for note in read.notes)


def test_alpha_that_hides_nothing_changes_nothing_and_is_not_mentioned(tmp_path: Path) -> None:
    path = written(tmp_path, "opaque.png", pictures.ramp_colours().convert("RGBA"))
    read = read_image(path, COLOURS)
    assert np.allclose(read.pixels[0], pictures.RAMP, atol=SMALLEST_STEP)
    assert read.notes == ()


@trust(
    12,
    "photograph taken with the camera turned (EXIF orientation 2 to 8)",
    "as it is stored: lying on its side, upside down or mirrored",
    "turned, and said; --keep-orientation leaves it",
)
@pytest.mark.parametrize("orientation", range(2, 9))
def test_image_is_turned_as_its_exif_orientation_says(orientation: int, tmp_path: Path) -> None:
    from PIL import ImageOps

    path = written(tmp_path, "turned.jpg", pictures.turned(orientation))
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        stored = np.asarray(image, dtype=np.float32) / 255
    read = read_image(path, COLOURS)
    assert np.allclose(read.pixels.transpose(1, 2, 0), np.asarray(upright) / 255)
    assert any("EXIF" in note for note in read.notes)
    kept = read_image(path, COLOURS.replaced(orientation="keep"))
    assert np.allclose(kept.pixels.transpose(1, 2, 0), stored)
    assert kept.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "spec", "note"),
    [
        ("animation.gif", pictures.animation, COLOURS, "the first of 3 frames"),
        ("print.jpg", pictures.ramp_colours().convert("CMYK"), COLOURS, "CMYK"),
        ("grey.png", pictures.ramp_8(), COLOURS, "grey, for a model of colours"),
        ("one.png", pictures.ramp_8().convert("1"), COLOURS, "grey, for a model of colours"),
        ("colours.png", pictures.ramp_colours(), GREY, "colours, turned into grey"),
        (
            "profile.png",
            encoded(pictures.ramp_colours(), "PNG", icc_profile=bytes(200)),
            COLOURS,
            "colour profile of its own, which is not applied",
        ),
        (
            "deep.png",
            lambda: pictures.colours_of_16_bits(65535),
            COLOURS,
            "the upper 8 bits of each were read",
        ),
    ],
)
def test_what_a_file_leaves_open_is_said(
    name: str, content: Any, spec: Preprocessing, note: str, tmp_path: Path
) -> None:
    read = read_image(written(tmp_path, name, content), spec)
    assert any(note in said for said in read.notes), read.notes


def test_plain_photograph_needs_no_word(tmp_path: Path) -> None:
    path = written(tmp_path, "photo.jpg", pictures.ramp_colours())
    assert read_image(path, COLOURS).notes == ()


def test_channels_come_in_the_order_that_the_model_sees(tmp_path: Path) -> None:
    path = written(tmp_path, "red.png", Image.new("RGB", (SIZE, SIZE), (255, 51, 0)))
    mean = (0.1, 0.2, 0.3)
    blue, green, red = load_image(path, COLOURS.replaced(color="bgr", mean=mean))[:, 0, 0]
    assert (blue, green, red) == pytest.approx((-0.1, 0.0, 0.7))
    grey = load_image(path, COLOURS.replaced(color="grey"))
    assert np.ptp(grey[:, 0, 0]) == 0
    assert 0.3 < grey[0, 0, 0] < 0.5


def test_padding_is_the_mean_in_whatever_order_and_depth(tmp_path: Path) -> None:
    border = COLOURS.replaced(crop_mode="border", mean=(0.2, 0.4, 0.6))
    for name, content in (
        ("wide.png", Image.new("RGB", (SIZE, SIZE // 4), "red")),
        ("deep.png", pictures.of_16_bits(65535).crop((0, 0, SIZE, SIZE // 4))),
    ):
        path = written(tmp_path, name, content)
        for color in ("rgb", "bgr"):
            corner = load_image(path, border.replaced(color=color))[:, 0, 0]
            assert corner == pytest.approx((0, 0, 0), abs=1e-6), (name, color)


@trust(
    12,
    "an image of 90 to 179 million pixels, of which Pillow warns",
    "read without a word",
    "read, and its size is told in a note",
)
def test_image_that_pillow_warns_of_is_read_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    Image.new("RGB", (100, 60)).save(tmp_path / "large.png")
    assert "very large: 100 x 60" in read_image(tmp_path / "large.png", COLOURS).notes[0]
    Image.new("RGB", (100, 50)).save(tmp_path / "usual.png")
    assert read_image(tmp_path / "usual.png", COLOURS).notes == ()
