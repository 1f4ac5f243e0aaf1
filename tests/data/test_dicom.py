"""DICOM files: what is black and white in them, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sequence import Sequence

from deploybench.data.image_files import open_picture
from deploybench.data.image_values import Picture
from deploybench.data.preprocess import read_image
from deploybench.errors import DeployBenchError
from tests.data.dicoms import RAMP, SIDE, dicom, table
from tests.data.sets import PLAIN

WIDE = np.round(60_000 * RAMP).astype(np.uint16)
GREY = PLAIN.replaced(channels=1, mean=(0.0,), std=(1.0,))
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


def levels(picture: Picture) -> npt.NDArray[np.float32]:
    """The first row, from 0 to 1."""
    return np.asarray(picture.bands[0], dtype=np.float32)[0]


def values(picture: Picture) -> npt.NDArray[np.float32]:
    """Every band whole: bands x height x width."""
    return np.stack([np.asarray(band, dtype=np.float32) for band in picture.bands])


def hounsfield(path: Path, **attributes: Any) -> Path:
    """A CT from -1000 to 1000, stored from 0 to 2000."""
    pixels = np.round(2000 * RAMP).astype(np.uint16)
    rescale = {"RescaleSlope": "1", "RescaleIntercept": "-1000", "Modality": "CT"}
    return dicom(path, pixels, **rescale, **attributes)


def test_window_of_the_file_is_black_and_white_in_units_of_the_modality(tmp_path: Path) -> None:
    path = hounsfield(tmp_path / "ct.dcm", WindowCenter="0", WindowWidth="1001")
    picture = open_picture(path, GREY)
    # PS3.3, C.11.2.1.2.1: black up to c - 0.5 - (w - 1) / 2, white from c - 0.5 + (w - 1) / 2 on.
    wanted = np.clip((np.round(2000 * RAMP[0]) - 1000 + 500.5) / 1000, 0, 1)
    assert np.allclose(levels(picture), wanted, atol=1e-6)
    assert picture.mode == "DICOM MONOCHROME2, 16 bit"
    assert "the file's own window: -500.5 to 499.5" in picture.notes[0]
    colours = read_image(path, PLAIN).pixels  # the same for a model of three channels
    assert np.allclose(colours, np.tile(wanted, (3, SIDE, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("LINEAR_EXACT", lambda values: np.clip((values + 500) / 1000, 0, 1)),
        ("SIGMOID", lambda values: 1 / (1 + np.exp(-4 * values / 1000))),
    ],
)
def test_function_of_the_window_is_the_file_s(tmp_path: Path, function: str, wanted: Any) -> None:
    path = hounsfield(
        tmp_path / "ct.dcm", WindowCenter="0", WindowWidth="1000", VOILUTFunction=function
    )
    values = np.round(2000 * RAMP[0]) - 1000
    assert np.allclose(levels(open_picture(path, GREY)), wanted(values), atol=1e-6)


def test_window_that_is_given_takes_the_place_of_the_file_s(tmp_path: Path) -> None:
    path = hounsfield(tmp_path / "ct.dcm", WindowCenter="0", WindowWidth="100")
    picture = open_picture(path, GREY.replaced(window=(-1000.0, 1000.0)))
    assert np.allclose(levels(picture), np.round(2000 * RAMP[0]) / 2000, atol=1e-6)
    assert picture.notes == ("-1000 to 1000 taken as black and white",)


def test_first_of_several_windows_is_taken(tmp_path: Path) -> None:
    one = hounsfield(tmp_path / "a.dcm", WindowCenter="40", WindowWidth="400")
    two = hounsfield(tmp_path / "b.dcm", WindowCenter=["40", "300"], WindowWidth=["400", "2000"])
    assert np.array_equal(levels(open_picture(one, GREY)), levels(open_picture(two, GREY)))


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    pixels = np.round(255 * RAMP).astype(np.uint8)
    path = dicom(tmp_path / "x.dcm", pixels, PhotometricInterpretation="MONOCHROME1")
    picture = open_picture(path, GREY)
    assert np.allclose(levels(picture), 1 - np.round(255 * RAMP[0]) / 255, atol=1e-6)
    assert any("MONOCHROME1" in note for note in picture.notes)


def test_tables_of_the_file_are_applied(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))
    squares = (np.arange(SIDE) ** 2).astype(np.uint16)
    path = dicom(tmp_path / "x.dcm", pixels, VOILUTSequence=Sequence([table(squares, 0, 8)]))
    assert np.allclose(levels(open_picture(path, GREY)), np.arange(SIDE) ** 2 / 255, atol=1e-6)
    path = dicom(
        tmp_path / "y.dcm",
        pixels,
        ModalityLUTSequence=Sequence([table(squares, 0, 16)]),
        WindowCenter="128.5",
        WindowWidth="257",
    )
    assert np.allclose(levels(open_picture(path, GREY)), np.arange(SIDE) ** 2 / 256, atol=1e-6)


def test_colours_are_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    pixels[..., 0] = 200
    picture = open_picture(dicom(tmp_path / "x.dcm", pixels), PLAIN)
    assert np.asarray(picture.bands[0])[0, 0].tolist() == [200, 0, 0]
    pixels_of_model = read_image(tmp_path / "x.dcm", PLAIN).pixels
    assert np.allclose(pixels_of_model[:, 0, 0], [200 / 255, 0, 0])


def test_first_frame_is_read_and_that_is_said(tmp_path: Path) -> None:
    frames = np.stack([np.full((SIDE, SIDE), level, np.uint8) for level in (51, 255)])
    picture = open_picture(dicom(tmp_path / "x.dcm", frames), GREY)
    assert np.allclose(levels(picture), 0.2)
    assert "the first of 2 frames" in picture.notes


def test_file_without_a_window_is_black_at_0_and_white_at_its_bits(tmp_path: Path) -> None:
    pixels = np.round(4095 * RAMP).astype(np.uint16)
    path = dicom(tmp_path / "x.dcm", pixels, BitsStored=12, HighBit=11)
    picture = open_picture(path, GREY)
    assert np.allclose(levels(picture), np.round(4095 * RAMP[0]) / 4095, atol=1e-6)
    assert picture.notes == ("no window in the file: 0 to 4095 taken",)


@pytest.mark.parametrize(
    ("values", "attributes"),
    [
        (
            np.round(2000 * RAMP).astype(np.uint16),
            {"RescaleIntercept": "-1000", "RescaleSlope": "1"},
        ),
        (np.round(2000 * RAMP).astype(np.uint16), {"Modality": "CT"}),
        (np.round(900 * RAMP).astype(np.uint16), {"BitsStored": 12, "HighBit": 11}),
        (np.round(2000 * RAMP - 1000).astype(np.int16), {}),
    ],
)
def test_values_without_a_window_that_may_mean_anything_are_refused(
    tmp_path: Path, values: npt.NDArray[Any], attributes: dict[str, Any]
) -> None:
    path = dicom(tmp_path / "x.dcm", values, **attributes)
    with pytest.raises(DeployBenchError, match="no window: what is black and white") as refused:
        open_picture(path, GREY)
    assert "--window LOW,HIGH" in str(refused.value.action)
    assert open_picture(path, GREY.replaced(window=(0.0, 500.0))).size == (SIDE, SIDE)


def test_signature_decides_and_not_the_name(tmp_path: Path) -> None:
    path = hounsfield(tmp_path / "IM0001", WindowCenter="0", WindowWidth="1001")
    named = tmp_path / "x.png"
    shutil.copy(path, named)
    assert open_picture(named, GREY).mode.startswith("DICOM")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_meta.dcm", "lacks DICOM's preamble"),
        ("reportsi.dcm", "without an image .Basic Text SR Storage"),
        ("MR_truncated.dcm", "bytes of pixel data is less than expected"),
        ("JPEG-lossy.dcm", "compressed as JPEG Extended .*12-bit precision"),
        ("nested_priv_SQ.dcm", "how many pixels"),
    ],
)
def test_file_that_does_not_read_is_refused_with_the_reason(name: str, words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        open_picture(SHIPPED / name, GREY)


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("MR_small.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_RLE.dcm", "MR_small.dcm"),
        ("MR_small_expb.dcm", "MR_small.dcm"),
        # Lossless JPEG, selection value 1: what most archives hold.
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_compressed_files_have_the_pixels_of_the_plain_one(name: str, like: str) -> None:
    spec = GREY if like.startswith("MR") else PLAIN
    plain = open_picture(SHIPPED / like, spec)
    packed = open_picture(SHIPPED / name, spec)
    assert np.array_equal(values(plain), values(packed))


def test_lossless_jpeg_of_another_predictor_has_the_pixels_of_the_plain_one(
    tmp_path: Path,
) -> None:
    """Process 14 with any predictor: first-order prediction is one of its seven, so that a file of
    selection value 1 is one of that transfer syntax, too."""
    import pydicom
    from pydicom.uid import JPEGLossless

    stored = pydicom.dcmread(SHIPPED / "SC_rgb_jpeg_gdcm.dcm")
    stored.file_meta.TransferSyntaxUID = JPEGLossless
    stored.save_as(tmp_path / "x.dcm")
    packed = open_picture(tmp_path / "x.dcm", PLAIN)
    plain = open_picture(SHIPPED / "SC_rgb_rle.dcm", PLAIN)
    assert np.array_equal(values(packed), values(plain))


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"])
def test_jpeg_ls_with_loss_reads(name: str) -> None:
    assert values(open_picture(SHIPPED / name, GREY.replaced(window=(0.0, 255.0)))).max() == 1


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("MR_small_jp2klossless.dcm", "JPEG 2000"),
        ("SC_rgb_jpeg_gdcm.dcm", "JPEG Lossless"),
        ("MR_small_jpeg_ls_lossless.dcm", "JPEG-LS Lossless"),
    ],
)
def test_decoder_that_is_missing_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, name: str, syntax: str
) -> None:
    from pydicom.pixels.decoders import base

    class Missing:
        is_available = False

    monkeypatch.setattr(base, "get_decoder", lambda syntax: Missing())
    with pytest.raises(DeployBenchError, match=f"compressed as {syntax}") as refused:
        open_picture(SHIPPED / name, GREY)
    assert "deploybench[data]" in str(refused.value.action)
    assert "gdcmconv" in str(refused.value.action)


def test_other_decoders_that_are_installed_are_not_taken_before_the_usual_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """GDCM decodes baseline JPEG as well, and another package may bring it."""
    from pydicom.pixels import utils

    taken = []
    decode = utils.pixel_array

    def noting(stored: Any, **asked: Any) -> Any:
        taken.append(asked["decoding_plugin"])
        return decode(stored, **asked)

    monkeypatch.setattr(utils, "pixel_array", noting)
    for name in ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_rle.dcm", "MR_small_jpeg_ls_lossless.dcm"):
        open_picture(SHIPPED / name, PLAIN)
    # Pillow first, another where it does not read the file.
    open_picture(SHIPPED / "GDCMJ2K_TextGBR.dcm", PLAIN)
    assert taken == ["pillow", "pydicom", "gdcm", "pillow", "pylibjpeg"]


def test_pydicom_that_is_missing_is_named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(DeployBenchError, match="needs pydicom") as refused:
        open_picture(SHIPPED / "MR_small.dcm", GREY)
    assert refused.value.action == 'pip install "deploybench[data]"'


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(132, 5000), st.binary(min_size=1, max_size=6))
def test_damaged_file_is_read_or_refused(tmp_path: Path, place: int, damage: bytes) -> None:
    path = hounsfield(tmp_path / "ct.dcm", WindowCenter="0", WindowWidth="1001")
    content = bytearray(path.read_bytes())
    place = 132 + (place - 132) % (len(content) - 132)
    content[place : place + len(damage)] = damage
    path.write_bytes(bytes(content))
    try:
        picture = open_picture(path, GREY)
    except DeployBenchError:
        return
    assert 0 <= levels(picture).min() <= levels(picture).max() <= 1
