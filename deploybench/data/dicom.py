"""From a DICOM file to pixels of known meaning.

The values are put through the file's own steps (PS3.3, C.11.1 and C.11.2): modality (rescale slope
and intercept, or a table), then values of interest (window, or a table), then photometric
interpretation. A window of the user's takes the place of the file's; it is in modality's units,
Hounsfield units of a CT. Where a file leaves open what is black and white it is refused.

Of several frames the first is read. Files without DICOM's preamble are not guessed at.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import (
    Picture,
    natural_bands,
    scaled,
    unreadable,
    window_words,
)
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MOST_PIXELS = 1 << 28
"""Of one frame: 16,384 x 16,384, more than any detector has."""
GREY = ("MONOCHROME1", "MONOCHROME2")
JPEG_SYNTAXES = tuple(f"1.2.840.10008.1.2.4.{number}" for number in ("5", "7", "8", "9", "20"))
"""What the transfer syntaxes of JPEG (lossless: 57 and 70), JPEG-LS, JPEG 2000 and its
high-throughput form begin with: those that the data extra decodes."""
DECODERS = ("pydicom", "pillow", "pylibjpeg", "gdcm")
"""The first that reads a file is taken. GDCM alone decodes lossless JPEG and JPEG-LS."""
CONVERT = "convert it first: gdcmconv --raw, or dcmdjpeg of dcmtk"
DARK_SHARE = 4
"""Where no value reaches a quarter of white, the bits are fewer than the file says."""
SIGMOID_SLOPE = 4
"""Of PS3.3, C.11.2.1.3.1: 1 / (1 + exp(-4 (value - centre) / width))."""

Values = npt.NDArray[np.float64]


def open_dicom(path: Path, spec: Preprocessing) -> Picture:
    """Read a DICOM file, its first frame. Raises DeployBenchError."""
    try:
        import pydicom
    except ImportError as error:
        raise DeployBenchError(
            f"{path} is a DICOM file, and reading it needs pydicom",
            action='pip install "deploybench[data]"',
        ) from error
    try:
        with warnings.catch_warnings():
            # Of what does not keep to the standard and reads all the same.
            warnings.simplefilter("ignore")
            return _picture(path, pydicom.dcmread(path), spec)
    except DeployBenchError:
        raise
    except MemoryError:
        raise unreadable(path, "it takes more memory than there is") from None
    except Exception as error:  # a parser or a decoder may raise anything on a damaged file
        why = " ".join(str(error).split()) or type(error).__name__
        raise unreadable(path, f"as DICOM: {why}") from None


def _picture(path: Path, stored: FileDataset, spec: Preprocessing) -> Picture:
    if "PixelData" not in stored and "FloatPixelData" not in stored:
        raise unreadable(path, f"it is a DICOM file without an image ({_kind(stored)})")
    if "Rows" not in stored or "Columns" not in stored:
        raise unreadable(path, "as DICOM: it does not say how many pixels it has")
    rows, columns = int(stored.Rows), int(stored.Columns)
    if not 0 < rows * columns <= MOST_PIXELS:
        raise unreadable(path, f"it says that it has {columns} x {rows} pixels")
    _check_decoder(path, stored)

    notes: tuple[str, ...] = ()
    frames = int(stored.get("NumberOfFrames") or 1)
    if frames > 1:
        notes += (f"the first of {frames} frames",)
    photometric = str(stored.PhotometricInterpretation)
    pixels = _decoded(path, stored)
    mode = f"DICOM {photometric}, {stored.get('BitsStored', stored.get('BitsAllocated'))} bit"
    if photometric not in GREY:
        bands, more_notes = _colours(path, stored, pixels, photometric, spec)
        return Picture(bands, (*notes, *more_notes), mode)
    levels, note = _levels(path, stored, pixels, spec)
    notes += (note,)
    if photometric == "MONOCHROME1":
        levels = 1 - levels
        notes += ("inverted: in this file white is the smallest value (MONOCHROME1)",)
    return Picture((scaled(levels, (0, 1)),), notes, mode)


def _kind(stored: FileDataset) -> str:
    uid = stored.get("SOPClassUID")
    return str(getattr(uid, "name", "") or stored.get("Modality") or "of no kind that it says")


def _check_decoder(path: Path, stored: FileDataset) -> None:
    """Refuse a compression that nothing here decodes, by its name."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = stored.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or get_decoder(syntax).is_available:
        return
    action = f'pip install "deploybench[data]", or {CONVERT}'
    if not syntax.startswith(JPEG_SYNTAXES):
        action = CONVERT
    raise DeployBenchError(
        f"{path} is compressed as {syntax.name}, which nothing that is installed decodes",
        expected="uncompressed, RLE, JPEG, lossless JPEG, JPEG-LS or JPEG 2000",
        action=action,
    )


def _decoded(path: Path, stored: FileDataset) -> npt.NDArray[Any]:
    """The values of the first frame as they are stored, or RGB of YBR.

    Which decoder is taken is fixed: the same file has the same values wherever the decoders are
    installed, whatever else is.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array

    syntax = stored.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return np.asarray(pixel_array(stored, index=0))
    available = get_decoder(syntax).available_plugins
    ranked = [name for name in DECODERS if name in available]
    ranked += [name for name in available if name not in ranked]
    problems = []
    for name in ranked:
        try:
            return np.asarray(pixel_array(stored, index=0, decoding_plugin=name))
        except MemoryError:
            raise
        except Exception as error:  # a decoder may raise anything; another one may read it
            problems.append(str(error).splitlines()[-1].strip())
    raise DeployBenchError(
        f"{path} is compressed as {syntax.name}, and does not decode: {'; '.join(problems)}",
        expected="an image that is whole, of the kinds that the decoders know",
        action=f"if it is whole, {CONVERT}",
    )


def _colours(
    path: Path, stored: FileDataset, pixels: npt.NDArray[Any], photometric: str, spec: Preprocessing
) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Colours of 8 bits in the model's channels; YBR is RGB already here."""
    from PIL.Image import fromarray

    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        pixels = apply_color_lut(pixels, stored)[..., :3]
    if pixels.dtype == np.uint16:
        # Palettes have 16 bits as a rule, with the colour in the upper ones.
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise unreadable(path, f"as DICOM: {photometric} of {pixels.dtype}, {pixels.shape}")
    image = fromarray(np.ascontiguousarray(pixels))
    return natural_bands(image, image, spec)


def _levels(
    path: Path, stored: FileDataset, pixels: npt.NDArray[Any], spec: Preprocessing
) -> tuple[Values, str]:
    """Grey values from 0 (the window's lower end) to 1, and a note that says which window."""
    values = _modality(stored, pixels)
    if not np.isfinite(values).all():
        raise DeployBenchError(f"{path} has values that are no finite numbers (NaN or infinity)")
    if spec.window is not None:
        return _between(
            values, spec.window
        ), f"{window_words(spec.window)} taken as black and white"
    if stored.get("VOILUTSequence"):
        return _by_table(stored, values), "the file's own table of grey values (VOI LUT)"
    centre = _first(_attribute(stored, "FrameVOILUTSequence", "WindowCenter"))
    width = _first(_attribute(stored, "FrameVOILUTSequence", "WindowWidth"))
    if centre is None or width is None:
        return _by_bits(path, stored, values)
    function = str(_attribute(stored, "FrameVOILUTSequence", "VOILUTFunction") or "LINEAR")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise DeployBenchError(
            f"{path} has a window of width {width:g}", action="say it with --window LOW,HIGH"
        )
    if function == "SIGMOID":
        levels = 1 / (1 + np.exp(-SIGMOID_SLOPE * (values - centre) / width))
        return levels, f"the file's own window: centre {centre:g}, width {width:g}, sigmoid"
    window = centre - width / 2, centre + width / 2
    if function == "LINEAR":  # of whole numbers: half a step lower, a step narrower (C.11.2.1.2.1)
        window = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    note = f"the file's own window: {window_words(window)} (--window sets another)"
    if width == 1:  # a threshold
        return (values > window[0]).astype(np.float64), note
    return _between(values, window), note


def _between(values: Values, window: tuple[float, float]) -> Values:
    low, high = window
    return np.clip((values - low) / (high - low), 0, 1)


def _modality(stored: FileDataset, pixels: npt.NDArray[Any]) -> Values:
    """The values in the units of the modality."""
    if stored.get("ModalityLUTSequence"):
        from pydicom.pixels.processing import apply_modality_lut

        return np.asarray(apply_modality_lut(pixels, stored), dtype=np.float64)
    slope, intercept = _rescale(stored)
    return pixels.astype(np.float64) * slope + intercept


def _rescale(stored: FileDataset) -> tuple[float, float]:
    slope = _first(_attribute(stored, "PixelValueTransformationSequence", "RescaleSlope"))
    intercept = _first(_attribute(stored, "PixelValueTransformationSequence", "RescaleIntercept"))
    return (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)


def _by_table(stored: FileDataset, values: Values) -> Values:
    from pydicom.pixels.processing import apply_voi

    white = (1 << int(stored.VOILUTSequence[0].LUTDescriptor[2])) - 1
    looked_up = apply_voi(np.round(values).astype(np.int64), stored)
    return np.clip(np.asarray(looked_up, dtype=np.float64) / white, 0, 1)


def _by_bits(path: Path, stored: FileDataset, values: Values) -> tuple[Values, str]:
    """From 0 to what the stored bits hold, where that is what the numbers are.

    Raises DeployBenchError where it is not.
    """
    bits = int(stored.get("BitsStored", 0))
    white = (1 << bits) - 1
    lowest, highest = float(values.min()), float(values.max())
    plain = _rescale(stored) == (1.0, 0.0) and not stored.get("ModalityLUTSequence")
    plain = plain and not stored.get("PixelRepresentation") and stored.get("Modality") != "CT"
    dark = bits > 8 and 0 < highest * DARK_SHARE <= white
    if not plain or bits < 1 or dark:
        raise DeployBenchError(
            f"{path} has values from {lowest:g} to {highest:g} and no window: what is black and "
            "white there is not known",
            expected="a file with a window, or --window",
            action="say it with --window LOW,HIGH (soft tissue in Hounsfield units: "
            "--window=-160,240)",
        )
    return _between(values, (0, white)), f"no window in the file: 0 to {white} taken"


def _attribute(stored: FileDataset, group: str, name: str) -> Any:
    """An attribute of the file, or of its first frame where frames have their own."""
    if stored.get(name) is not None:
        return stored.get(name)
    for frames in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for functions in list(stored.get(frames) or ())[:1]:
            for function in list(functions.get(group) or ())[:1]:
                if function.get(name) is not None:
                    return function.get(name)
    return None


def _first(value: Any) -> float | None:
    """The first of what may be several numbers: a file may offer more than one window."""
    if value is None or value == "":
        return None
    if isinstance(value, (str, int, float)):
        return float(value)
    try:
        return float(value[0])
    except (TypeError, IndexError):
        return float(value)
