"""What the values of an image mean: which are black, which are white, what lies behind glass.

Pixels of 8 bits are turned into the model's channels and stay as they are. Values of more bits
become floats from 0 (black) to 1 (white), where the file or the user tells which values those are;
else the image is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}
"""Pillow's name for pixels of 8 bits, by the channels of the model."""
NATURAL_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
)
"""Of 8 bits a channel: Pillow converts them to grey or colours."""
WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
GREY_FOR_COLOURS = "grey, for a model of colours"
GREY_MODES = frozenset({"1", "L", "LA", "La"})
WHITE_8, WHITE_12, WHITE_16 = 255, 4095, 65535
DARK_16 = 16383
"""Where 16-bit values reach no further, they are more likely of 10, 12 or 14 bits than dark."""
FEWER_BITS = (255, 1023, 4095, 16383)
"""White where 8, 10, 12 or 14 bits lie in 16."""


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    ``bands`` is one image of 8-bit pixels (Pillow's mode L or RGB), or one or three of floats from
    0 to 1 (mode F). ``notes`` say what was decided about it that the file leaves open; ``mode`` is
    what its pixels were in the file: Pillow's word for them, or DICOM's with the bits.
    """

    bands: tuple[Image, ...]
    notes: tuple[str, ...]
    mode: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.bands[0].size


def unreadable(place: object, why: str) -> DeployBenchError:
    """The refusal of what was to be an image."""
    return DeployBenchError(
        f"{place} does not read as an image: {why}", expected="a whole PNG, JPEG, TIFF, WebP, …"
    )


def is_deep(mode: str) -> bool:
    """Whether a pixel is one number of more than 8 bits."""
    return mode in ("I", "F") or mode.startswith("I;16")


def natural_bands(
    image: Image, opened: Image, spec: Preprocessing
) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """8-bit pixels in the model's channels; floats where a window lies within the 8 bits."""
    notes: tuple[str, ...] = ()
    mode = MODES[spec.channels]
    if image.mode == "CMYK":
        notes += ("CMYK, turned into RGB without a colour profile",)
    profile = opened.info.get("icc_profile")
    if profile and b"sRGB" not in profile and b"s\0R\0G\0B" not in profile:
        notes += ("it has a colour profile of its own, which is not applied",)
    image, note = _opaque(image, opened, spec)
    notes += note
    grey_file = image.mode in GREY_MODES
    if spec.channels == 3 and grey_file:
        notes += (GREY_FOR_COLOURS,)
    elif (spec.channels == 1 or spec.color == "grey") and not grey_file and image.mode != "P":
        notes += ("colours, turned into grey",)
    if spec.color == "grey":
        image = image.convert("L")
    if image.mode != mode:
        image = image.convert(mode)
    if spec.window is None:
        return (image,), notes
    low, high = spec.window
    if low < 0 or high > WHITE_8:
        unfit = f"8-bit image, scaled by 255: {window_words(spec.window)} is not its"
        return (image,), (*notes, unfit)
    bands = tuple(scaled(np.asarray(band), spec.window) for band in image.split())
    return bands, (*notes, f"{window_words(spec.window)} taken as black and white")


def _opaque(image: Image, opened: Image, spec: Preprocessing) -> tuple[Image, tuple[str, ...]]:
    """The image without its transparency, on the background of the preprocessing."""
    from PIL import Image as Pillow

    transparent = image.mode in WITH_ALPHA or "transparency" in opened.info
    if not transparent:
        return image, ()
    if image.mode in ("RGBa", "La"):  # colours that are multiplied by the alpha already
        image = image.convert(image.mode.upper())
    if spec.background == "drop":
        if image.mode == "P":
            return image.convert("RGB"), ("transparency was dropped",)
        return image, ("transparency was dropped",)
    layered = image.convert("RGBA")
    least, _ = layered.getchannel("A").getextrema()
    if least == WHITE_8:  # opaque everywhere
        return image, ()
    ground = Pillow.new("RGBA", layered.size, spec.background)
    whole: Image = Pillow.alpha_composite(ground, layered).convert("RGB")
    if image.mode in GREY_MODES:
        whole = whole.convert("L")
    return whole, (f"transparent parts lie on {spec.background}",)


def check_deep_colour(place: str, image: Image, spec: Preprocessing) -> tuple[str, ...]:
    """Of 16 bits a channel Pillow reads the upper 8: right, unless the values use only the lower.

    Raises DeployBenchError where they do, and for a window that cannot be applied.
    """
    if spec.window is not None and spec.window != (0, WHITE_16):
        raise DeployBenchError(
            f"{place} has colours of 16 bits, of which 8 are read; {window_words(spec.window)} "
            "cannot be applied to them",
            action="save it with 8 bits a channel, scaled as the model was trained",
        )
    colours = image.convert("RGB")
    brightest = int(np.asarray(colours).max())
    if spec.window is None and 0 < brightest <= DARK_16 >> 8:
        raise DeployBenchError(
            f"{place} has colours of 16 bits, and none reaches a quarter of white: they may be of "
            "10, 12 or 14 bits",
            action="save it with 8 bits a channel; or, if it is a dark image, --levels 65535",
        )
    return ("16-bit colours: the upper 8 bits of each were read",)


def deep_bands(
    place: str,
    opened: Image,
    image: Image,
    layout: str,
    spec: Preprocessing,
    *,
    inverted: bool,
) -> tuple[tuple[Image, ...], tuple[str, ...]]:
    """One band of floats from 0 to 1 out of grey values of more than 8 bits."""
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise DeployBenchError(
            f"{place} has values that are no finite numbers (NaN or infinity)",
            action="replace them first",
        )
    lowest, highest = float(values.min()), float(values.max())
    if spec.window is not None:
        window = spec.window
        notes: tuple[str, ...] = (f"{window_words(window)} taken as black and white",)
    else:
        window, note = _natural_window(place, opened, image.mode, layout, lowest, highest)
        notes = (note,)
    band = scaled(values, window, inverted=inverted)
    if inverted:
        notes += ("inverted: in this file white is the smallest value",)
    return (band,), notes


def _natural_window(
    place: str, opened: Image, mode: str, layout: str, lowest: float, highest: float
) -> tuple[tuple[float, float], str]:
    """What is black and white in grey values of that mode, and a note that says it.

    Raises DeployBenchError where the file does not tell.
    """
    found = f"values from {lowest:g} to {highest:g}"
    if mode == "F":
        if lowest < 0 or highest > 1:
            raise DeployBenchError(
                f"{place} has floating-point {found}: what is black and white there is not known",
                expected="values from 0 to 1, or a window",
                action="say it with --window LOW,HIGH (soft tissue in Hounsfield units: "
                "--window=-160,240)",
            )
        return (0, 1), "floating-point values: 0 is black, 1 is white (--window sets others)"
    if "I;12" in layout:
        return (0, WHITE_12), "12-bit image: scaled by 4095 (--window sets other values)"
    # Pillow has 16-bit values in 32 where the file is a PGM, whose header says what is white.
    told_by_header = opened.format == "PPM"
    if not mode.startswith("I;16") and opened.format not in ("PNG", "PPM"):
        raise DeployBenchError(
            f"{place} has integers of more than 16 bits or with a sign, {found}: what is black and "
            "white there is not known",
            expected="8 or 16 bits, or a window",
            action="say it with --window LOW,HIGH, or --levels HIGH for one that begins at 0",
        )
    if 0 < highest <= DARK_16 and not told_by_header:
        likely = next(white for white in FEWER_BITS if highest <= white)
        raise DeployBenchError(
            f"{place} has 16-bit {found}: of fewer bits, or a dark image",
            expected="values that reach further than 16383, or a window",
            action=f"if {likely} is white, --levels {likely}; if it is dark, --levels {WHITE_16}",
        )
    return (0, WHITE_16), "16-bit image: scaled by 65535 (--levels or --window set other values)"


def scaled(
    values: npt.NDArray[np.generic], window: tuple[float, float], *, inverted: bool = False
) -> Image:
    """Floats from 0 (at or under the window) to 1 (at or over it), as an image of mode F."""
    from PIL.Image import fromarray

    low, high = window
    levels = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1)
    if inverted:
        levels = 1 - levels
    return fromarray(levels.astype(np.float32))


def window_words(window: tuple[float, float]) -> str:
    low, high = window
    return f"{low:g} to {high:g}"


def check_window(window: tuple[float, float]) -> None:
    """Raise DeployBenchError for a window that has no extent."""
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise DeployBenchError(
            f"the window from {low:g} to {high:g}",
            expected="what is black, then what is white, a larger value: --window=-160,240",
        )
