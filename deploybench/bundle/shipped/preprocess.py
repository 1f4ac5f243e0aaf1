"""From an image file to the model's input, as preprocessing.json says it.

Read, turn, trim, resize, crop or pad, scale to [0, 1], normalise: with the same rounding as when
the model was measured. What an image file leaves open is decided and told in a note, or refused.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

MODES = {1: "L", 3: "RGB"}
GREY_MODES = {"1", "L", "LA", "La"}
NATURAL_MODES = GREY_MODES | {
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "HSV",
}
RAW_SUFFIXES = (".cr2", ".nef", ".arw", ".dng", ".orf", ".rw2", ".pef", ".srw", ".3fr", ".iiq")
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
EXIF_ORIENTATION = 0x0112
TIFF_PHOTOMETRIC = 262
WHITE_8, WHITE_12, WHITE_16 = 255, 4095, 65535
DARK_16 = 16383  # 16-bit values that reach no further may be of fewer bits
MOST_RESIZED_PIXELS = 1 << 25  # beyond, only the part that is not cropped away is resized
WIDEST_FILTER = 3  # pixels on either side that lanczos looks at


class ImageError(ValueError):
    """What is no image, or one that does not say what is black and what is white."""


def read_image(
    content: bytes, spec: dict[str, Any], name: str = "the image"
) -> tuple[np.ndarray[Any, Any], list[str]]:
    """The image as float32 of (channels, height, width), and notes on what was decided about it.

    content: the bytes of the file; spec: preprocessing.json.
    """
    if content[128:132] == b"DICM":
        raise ImageError(f"{name} is a DICOM file: convert it to PNG first, in the model's window")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images; those of twice as many are refused
            with Image.open(io.BytesIO(content)) as opened:
                bands, notes = read_bands(opened, spec, name)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is no image of a format that Pillow knows") from None
    except Exception as error:  # a decoder may raise anything on a file that is damaged
        raise ImageError(f"{name} does not read as an image: {error}") from None
    border = spec["crop_border_pixels"]
    if min(bands[0].size) <= 2 * border:
        raise ImageError(f"{name} is too small: {border} pixels are trimmed from every edge")
    if bands[0].mode == "F" and len(bands) < spec["channels"]:  # grey, for a model of colours
        bands = bands * spec["channels"]
    return normalised([fitted(band, spec, index) for index, band in enumerate(bands)], spec), notes


def read_bands(opened: Any, spec: dict[str, Any], name: str) -> tuple[list[Any], list[str]]:
    """One image of 8-bit pixels in the model's channels, or images of floats from 0 to 1."""
    if opened.format == "EPS":
        raise ImageError(f"{name} is a drawing (EPS): save it as PNG")
    if opened.format == "TIFF" and name.lower().endswith(RAW_SUFFIXES):
        raise ImageError(f"{name} is a camera's raw file, of which only a preview would be read")
    # What only the header tells is gone once the pixels are decoded.
    layout = " ".join(str(tile) for tile in getattr(opened, "tile", ()))
    notes = []
    if getattr(opened, "is_animated", False) and opened.format != "MPO":
        notes.append("the first of several frames")
    deep = opened.mode in ("I", "F") or opened.mode.startswith("I;16")
    tags = getattr(opened, "tag_v2", None) or {}
    inverted = deep and tags.get(TIFF_PHOTOMETRIC) == 0
    opened.load()
    if min(opened.size) < 1:
        raise ImageError(f"{name} has no pixels")
    image = opened
    if spec["orientation"] == "apply":
        image = turned(opened, notes)
    if image.mode == "I" or image.mode == "F" or image.mode.startswith("I;16"):
        return [deep_band(opened, image, layout, spec, name, notes, inverted)], notes
    if image.mode not in NATURAL_MODES:
        raise ImageError(f"{name} has pixels of mode {image.mode}: save it as RGB")
    if ";16" in layout:
        check_deep_colour(image, spec, name)
        notes.append("16-bit colours: the upper 8 bits of each were read")
    return natural_bands(image, opened, spec, notes), notes


def turned(image: Any, notes: list[str]) -> Any:
    """The image the way up that its EXIF orientation says."""
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # EXIF is written by everybody
        notes.append("its EXIF data does not read: taken as it is stored")
        return image
    if orientation not in TURNS:
        return image
    notes.append("turned as its EXIF orientation says")
    return image.transpose(TURNS[orientation])


def natural_bands(image: Any, opened: Any, spec: dict[str, Any], notes: list[str]) -> list[Any]:
    """8-bit pixels in the model's channels; floats where a window lies within the 8 bits."""
    if image.mode == "CMYK":
        notes.append("CMYK, turned into RGB without a colour profile")
    image = opaque(image, opened, spec, notes)
    grey_model = spec["channels"] == 1 or spec["color"] == "grey"
    if spec["channels"] == 3 and image.mode in GREY_MODES:
        notes.append("grey, for a model of colours")
    elif grey_model and image.mode not in GREY_MODES | {"P"}:
        notes.append("colours, turned into grey")
    if spec["color"] == "grey":
        image = image.convert("L")
    if image.mode != MODES[spec["channels"]]:
        image = image.convert(MODES[spec["channels"]])
    if spec["window"] is None:
        return [image]
    low, high = spec["window"]
    if low < 0 or high > WHITE_8:
        notes.append("8-bit image, scaled by 255: the window is not its")
        return [image]
    notes.append(f"{low:g} to {high:g} taken as black and white")
    return [scaled(np.asarray(band), low, high) for band in image.split()]


def opaque(image: Any, opened: Any, spec: dict[str, Any], notes: list[str]) -> Any:
    """The image without its transparency, on the background of the preprocessing."""
    with_alpha = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    if not with_alpha and "transparency" not in opened.info:
        return image
    if image.mode in ("RGBa", "La"):  # colours that are multiplied by the alpha already
        image = image.convert(image.mode.upper())
    if spec["background"] == "drop":
        notes.append("transparency was dropped")
        if image.mode == "P":
            return image.convert("RGB")
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] == WHITE_8:  # opaque everywhere
        return image
    notes.append(f"transparent parts lie on {spec['background']}")
    ground = Image.new("RGBA", layered.size, spec["background"])
    whole = Image.alpha_composite(ground, layered).convert("RGB")
    if image.mode in GREY_MODES:
        return whole.convert("L")
    return whole


def check_deep_colour(image: Any, spec: dict[str, Any], name: str) -> None:
    """Refuse colours of 16 bits of which the upper 8 would say something else."""
    if spec["window"] is not None and tuple(spec["window"]) != (0, WHITE_16):
        raise ImageError(f"{name} has colours of 16 bits, to which the window cannot be applied")
    brightest = int(np.asarray(image.convert("RGB")).max())
    if spec["window"] is None and 0 < brightest <= DARK_16 >> 8:
        raise ImageError(
            f"{name} has colours of 16 bits, and none reaches a quarter of white: they may be of "
            "fewer bits; save it with 8 bits a channel"
        )


def deep_band(
    opened: Any,
    image: Any,
    layout: str,
    spec: dict[str, Any],
    name: str,
    notes: list[str],
    inverted: bool,
) -> Any:
    """Floats from 0 to 1 out of grey values of more than 8 bits."""
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ImageError(f"{name} has values that are no finite numbers (NaN or infinity)")
    if spec["window"] is not None:
        low, high = spec["window"]
    else:
        low, high = natural_window(opened, image.mode, layout, values, name)
    notes.append(f"{low:g} to {high:g} taken as black and white")
    if inverted:
        notes.append("inverted: in this file white is the smallest value")
    return scaled(values, low, high, inverted)


def natural_window(
    opened: Any, mode: str, layout: str, values: np.ndarray[Any, Any], name: str
) -> tuple[float, float]:
    """Which values are black and white, where the file tells."""
    lowest, highest = float(values.min()), float(values.max())
    if mode == "F":
        if lowest < 0 or highest > 1:
            raise ImageError(f"{name} has floating-point values from {lowest:g} to {highest:g}")
        return 0, 1
    if "I;12" in layout:
        return 0, WHITE_12
    if not mode.startswith("I;16") and opened.format not in ("PNG", "PPM"):
        raise ImageError(f"{name} has integers of more than 16 bits or with a sign")
    if 0 < highest <= DARK_16 and opened.format != "PPM":  # a PGM's header says what is white
        raise ImageError(
            f"{name} has 16-bit values up to {highest:g}: of fewer bits, or a dark image; set "
            '"window" in preprocessing.json'
        )
    return 0, WHITE_16


def scaled(values: np.ndarray[Any, Any], low: float, high: float, inverted: bool = False) -> Any:
    """Floats from 0 (at or under low) to 1 (at or over high), as an image of mode F."""
    levels = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    if inverted:
        levels = 1 - levels
    return Image.fromarray(levels.astype(np.float32))


def fitted(image: Any, spec: dict[str, Any], index: int) -> Any:
    """The image in the model's height and width: trimmed, resized, cropped or padded."""
    border = spec["crop_border_pixels"]
    if border:
        image = image.crop((border, border, image.width - border, image.height - border))
    target = (spec["width"], spec["height"])
    width, height = resized_size(image.size, spec)
    left, from_x, to_x = placed(width, target[0])
    top, from_y, to_y = placed(height, target[1])
    part = (from_x, from_y, to_x, to_y)
    kernel = Resampling[spec["interpolation"].upper()]
    if width * height <= MOST_RESIZED_PIXELS:
        resized = image.resize((width, height), kernel).crop(part)
    else:
        resized = resized_part(image, (width, height), part, kernel)
    if resized.size == target:
        return resized
    canvas = Image.new(image.mode, target, padding(image.mode, spec, index))
    canvas.paste(resized, (left, top))
    return canvas


def resized_size(size: tuple[int, int], spec: dict[str, Any]) -> tuple[int, int]:
    """(width, height) after the resize and before the crop, with timm's three ways of rounding."""
    width, height = size
    scale_width = math.floor(spec["width"] / spec["crop_fraction"])
    scale_height = math.floor(spec["height"] / spec["crop_fraction"])
    if spec["crop_mode"] == "squash":
        return scale_width, scale_height
    if spec["crop_mode"] == "center" and scale_width == scale_height:
        longer = int(scale_width * max(size) / min(size))
        return (scale_width, longer) if width <= height else (longer, scale_height)
    ratios = (width / scale_width, height / scale_height)
    ratio = max(ratios) if spec["crop_mode"] == "border" else min(ratios)
    return max(round(width / ratio), 1), max(round(height / ratio), 1)


def placed(length: int, target: int) -> tuple[int, int, int]:
    """Where a side goes: (offset in the target, from, to), of the pixels that are not cropped."""
    if length < target:
        return (target - length) // 2, 0, length
    start = round((length - target) / 2)
    return 0, start, start + target


def resized_part(
    image: Any, size: tuple[int, int], part: tuple[int, int, int, int], kernel: Any
) -> Any:
    """What image.resize(size).crop(part) gives, without the rest in between."""
    from_x, from_y, to_x, to_y = part
    by_width, by_height = image.width / size[0], image.height / size[1]
    box = (from_x * by_width, from_y * by_height, to_x * by_width, to_y * by_height)
    margin_x = WIDEST_FILTER * max(by_width, 1) + 1
    margin_y = WIDEST_FILTER * max(by_height, 1) + 1
    left, top = max(math.floor(box[0] - margin_x), 0), max(math.floor(box[1] - margin_y), 0)
    right = min(math.ceil(box[2] + margin_x), image.width)
    bottom = min(math.ceil(box[3] + margin_y), image.height)
    near = (
        box[0] - left,
        box[1] - top,
        min(box[2] - left, right - left),
        min(box[3] - top, bottom - top),
    )
    neighbourhood = image.crop((left, top, right, bottom))
    return neighbourhood.resize((to_x - from_x, to_y - from_y), kernel, box=near)


def padding(mode: str, spec: dict[str, Any], index: int) -> Any:
    """The colour of the padding: black, or the mean where the whole image is fitted in."""
    if spec["crop_mode"] != "border":
        return 0
    # The mean is in the order in which the model sees the channels; the image is RGB here.
    levels = [round(WHITE_8 * value) for value in spec["mean"]]
    if spec["color"] == "bgr":
        levels.reverse()
    if mode == "F":
        return levels[index] / WHITE_8
    return levels[0] if mode == "L" else tuple(levels)


def normalised(bands: list[Any], spec: dict[str, Any]) -> np.ndarray[Any, Any]:
    """The bands as the model wants them: float32 of (channels, height, width)."""
    pixels = np.dstack([np.asarray(band, dtype=np.float32) for band in bands])
    if bands[0].mode != "F":
        pixels = pixels / np.float32(WHITE_8)
    pixels = np.clip(pixels, 0, 1)  # bicubic overshoots at edges
    if spec["color"] == "bgr":
        pixels = pixels[:, :, ::-1]
    mean, std = np.array(spec["mean"], np.float32), np.array(spec["std"], np.float32)
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1), dtype=np.float32)
