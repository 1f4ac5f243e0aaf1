"""The options that say how images are prepared: those of ``export``, and those of reading alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from deploybench.data.preprocessing_options import PreprocessingOptions

MeanOption = Annotated[
    str | None,
    typer.Option("--mean", help="Of pixels in [0, 1], a channel each: 0.485,0.456,0.406."),
]
StdOption = Annotated[str | None, typer.Option("--std", help="As --mean: 0.229,0.224,0.225.")]
InterpolationOption = Annotated[
    str | None,
    typer.Option("--interpolation", help="bicubic, bilinear, nearest, lanczos, box, hamming."),
]
CropOption = Annotated[
    float | None, typer.Option("--crop", help="The share of the resized image that is kept: 0.875.")
]
ResizeModeOption = Annotated[
    str | None,
    typer.Option(
        "--resize-mode",
        help="center: crop the middle; squash: to the size, whatever the ratio; border: pad.",
    ),
]
ColorOption = Annotated[
    str | None, typer.Option("--color", help="What the model sees: rgb, bgr, grey.")
]
WindowOption = Annotated[
    str | None,
    typer.Option(
        "--window",
        help="Values of image files beyond 8 bits that are black and white: --window=-160,240.",
    ),
]
LevelsOption = Annotated[
    float | None, typer.Option("--levels", help="As --window 0,LEVELS: 4095 for 12 bits.")
]
BackgroundOption = Annotated[
    str | None,
    typer.Option(
        "--background",
        help="Behind transparent parts: white, black, or drop the alpha. [default: white]",
    ),
]
KeepOrientationOption = Annotated[
    bool,
    typer.Option("--keep-orientation", help="Do not turn images as their EXIF orientation says."),
]


def preprocessing_options(
    *,
    mean: str | None = None,
    std: str | None = None,
    interpolation: str | None = None,
    crop: float | None = None,
    resize_mode: str | None = None,
    color: str | None = None,
    window: str | None = None,
    levels: float | None = None,
    background: str | None = None,
    keep_orientation: bool = False,
) -> PreprocessingOptions:
    """What the options say, checked. Raises DeployBenchError."""
    from deploybench.data.preprocessing_options import PreprocessingOptions

    orientation = None
    if keep_orientation:
        orientation = "keep"
    options = PreprocessingOptions(
        mean=_numbers(mean, "--mean"),
        std=_numbers(std, "--std"),
        interpolation=_lower(interpolation),
        crop=crop,
        resize_mode=_lower(resize_mode),
        color=_lower(color),
        window=_window(window, levels),
        background=_lower(background),
        orientation=orientation,
    )
    options.check()
    return options


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """``0.5,0.5,0.5`` as numbers."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise DeployBenchError(
            f"{option} {text}", expected="numbers with commas, one a channel: 0.485,0.456,0.406"
        ) from None


def _window(window: str | None, levels: float | None) -> tuple[float, float] | None:
    if window is not None and levels is not None:
        raise DeployBenchError("--window and --levels together", expected="one of them")
    if levels is not None:
        return 0.0, levels
    numbers = _numbers(window, "--window")
    if numbers is None:
        return None
    if len(numbers) != 2:
        raise DeployBenchError(
            f"--window {window}", expected="two numbers, black and white: --window=-160,240"
        )
    return numbers[0], numbers[1]


def _lower(word: str | None) -> str | None:
    if word is None:
        return None
    word = word.strip().lower()
    if word == "gray":
        return "grey"
    return word
