"""From an image file to pixels of known meaning, or a refusal in words.

What a file leaves open is decided here and told in a note: which values are black and white where
there are more than 8 bits, what lies behind transparent parts, which way up the image is. Pixels of
8 bits go on as they are, so that they are resized exactly as in training; values of more bits go on
as floats from 0 (black) to 1 (white).

Colour profiles are not applied: no usual training loop applies them.
"""

from __future__ import annotations

import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dicom import open_dicom
from deploybench.data.dicom_files import DICOM_SUFFIXES, is_dicom
from deploybench.data.image_values import (
    MODES,
    NATURAL_MODES,
    Picture,
    check_deep_colour,
    deep_bands,
    is_deep,
    natural_bands,
    unreadable,
)
from deploybench.data.not_images import RAW_SUFFIXES, what_it_is
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
"""Of the files that are taken from a folder."""
LONGEST_SIDE = 1_000_000
"""Pixels. A line of a hundred million is no picture, and resizing it takes seconds and
gigabytes."""
EXIF_ORIENTATION = 0x0112
TIFF_PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


def is_image(file: Path) -> bool:
    """By its name; a hidden file is what a system keeps for itself (``._photo.jpg`` of macOS).

    DICOM files often have a name without any suffix, or one that ends in a number (``1.2.840.9``):
    such a file is looked into.
    """
    if file.name.startswith("."):
        return False
    suffix = file.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in DICOM_SUFFIXES:
        return True
    return suffix.lstrip(".").isdigit() or (not suffix and is_dicom(file))


def open_picture(path: Path, spec: Preprocessing) -> Picture:
    """Read an image file, its first frame.

    Raises DeployBenchError for what is no image, does not read whole, or has values that cannot be
    told to be black or white.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DeployBenchError(
            "reading images needs Pillow", action='pip install "deploybench[image]"'
        ) from error
    if spec.channels not in MODES:
        raise DeployBenchError(
            f"the model takes {spec.channels} channels", expected="1 or 3 for image files"
        )
    _check_file(path)
    if is_dicom(path):
        return open_dicom(path, spec)
    try:
        with warnings.catch_warnings():
            # Pillow warns of images from 90 million pixels on, which is told in a note. Those of
            # twice as many it refuses.
            warnings.simplefilter("ignore")
            with Image.open(path) as opened:
                return _read(path, opened, spec)
    except DeployBenchError:
        raise
    except UnidentifiedImageError:
        raise unreadable(path, what_it_is(path) or "of no format that Pillow knows") from None
    except Image.DecompressionBombError as error:
        raise DeployBenchError(
            f"{path} is too large to be read safely: {error}",
            expected=f"an image of at most {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels",
            action="scale it down first",
        ) from None
    except MemoryError:
        raise unreadable(path, "it takes more memory than there is") from None
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None
    except Exception as error:  # a decoder may raise anything on a file that is damaged
        raise unreadable(path, str(error) or type(error).__name__) from None


def _check_file(path: Path) -> None:
    """Refuse what is no file with something in it: a device or a pipe would be waited for."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DeployBenchError(f"there is no image {path}", action="check the path") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DeployBenchError(f"{path} cannot be read: {why}", action="check the path") from None
    if stat.S_ISDIR(status.st_mode):
        raise DeployBenchError(f"{path} is a folder", expected="an image file")
    if not stat.S_ISREG(status.st_mode):
        raise DeployBenchError(
            f"{path} is a device, a pipe or a socket",
            expected="an image file",
            action="write the image into a file first",
        )
    if status.st_size == 0:
        raise unreadable(path, "it is empty")


def _read(path: Path, opened: Image, spec: Preprocessing) -> Picture:
    """The pixels of an opened file, decoded, the right way up, in the model's channels."""
    if opened.format == "EPS":
        raise unreadable(path, "it is a drawing (EPS), which another program would have to render")
    if opened.format == "TIFF" and path.suffix.lower() in RAW_SUFFIXES:
        raise unreadable(path, "it is a camera's raw file, of which only a preview would be read")

    longest = max(opened.width, opened.height)
    if longest > LONGEST_SIDE:
        raise DeployBenchError(
            f"{path} is too large to be read safely: {opened.width} x {opened.height} pixels",
            expected=f"an image of at most {LONGEST_SIDE} pixels a side",
            action="cut it into pieces first",
        )

    # What only the header tells is gone once the pixels are decoded.
    layout = " ".join(str(tile) for tile in getattr(opened, "tile", ()))
    inverted = _white_is_zero(opened)
    notes = (*_notes_of_frames(opened), *_notes_of_size(opened))
    opened.load()
    if opened.width < 1 or opened.height < 1:
        raise unreadable(path, f"it has {opened.width} x {opened.height} pixels")

    image = opened
    if spec.orientation == "apply":
        image, note = _turned(opened)
        notes += note
    if is_deep(image.mode):
        bands, more_notes = deep_bands(str(path), opened, image, layout, spec, inverted=inverted)
    elif image.mode in NATURAL_MODES:
        if ";16" in layout:
            notes += check_deep_colour(str(path), image, spec)
        bands, more_notes = natural_bands(image, opened, spec)
    else:
        raise DeployBenchError(
            f"{path} has pixels of mode {image.mode}",
            expected="grey, RGB, a palette, CMYK or YCbCr",
            action="save it as RGB",
        )
    return Picture(bands, (*notes, *more_notes), opened.mode)


def _notes_of_frames(opened: Image) -> tuple[str, ...]:
    """That there are more frames than the one that is read. A phone's second picture (MPO) is of
    the same scene: no word about that."""
    if not getattr(opened, "is_animated", False) or opened.format == "MPO":
        return ()
    return (f"the first of {getattr(opened, 'n_frames', 'several')} frames",)


def _notes_of_size(opened: Image) -> tuple[str, ...]:
    """That the image is of a size at which Pillow warns that a small file may be meant to fill the
    memory. It may be a whole slide, or a map: it is read, and how much of it is left is told."""
    from PIL import Image

    pixels = opened.width * opened.height
    if Image.MAX_IMAGE_PIXELS is None or pixels <= Image.MAX_IMAGE_PIXELS:
        return ()
    return (
        f"very large: {opened.width} x {opened.height}, {pixels / 1e6:.3g} million pixels; what is "
        "small in it is lost in the model's size",
    )


def _white_is_zero(opened: Image) -> bool:
    """Whether the file counts from white to black and Pillow leaves it so.

    Pillow turns the 8-bit ones round, those of 16 bits not.
    """
    tags = getattr(opened, "tag_v2", None)
    if tags is None or not is_deep(opened.mode):
        return False
    return bool(tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO)


def _turned(image: Image) -> tuple[Image, tuple[str, ...]]:
    """The image the way up that its EXIF orientation says."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # EXIF is written by everybody, and read by a parser of Pillow's
        return image, ("its EXIF data does not read: taken as it is stored",)
    if orientation not in turns:
        return image, ()
    return image.transpose(turns[orientation]), ("turned as its EXIF orientation says",)
