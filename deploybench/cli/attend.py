"""``deploybench attend``: what models look at in an image."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.guard import guarded, say, say_aside
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from deploybench.artifacts.preprocessing import Preprocessing
    from deploybench.artifacts.weights import Weights
    from deploybench.models.source import BuiltModel

SUFFIXES = (".html", ".png")


class NumbersFormat(str, Enum):
    """How numbers are printed."""

    JSON = "json"
    CSV = "csv"


@guarded
def attend(
    model: Annotated[
        str, typer.Option("--model", "-m", help="Names or groups, with commas: vit,linformer.")
    ],
    image: Annotated[
        list[Path],
        typer.Option(
            "--image",
            help="An image or a folder of them; repeatable. The first is drawn, the numbers are "
            "of all.",
        ),
    ],
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", help="FILE of the only model, or MODEL=FILE; repeatable."),
    ] = None,
    pixel: Annotated[
        list[str] | None,
        typer.Option(
            "--pixel",
            help="Y,X of the image as the model gets it; repeatable. [default: the corners of the "
            "centred square of a third]",
        ),
    ] = None,
    image_size: parse.OneImageSizeOption = None,
    patch_size: parse.OnePatchSizeOption = None,
    in_channels: parse.InChannelsOption = None,
    num_classes: parse.NumClassesOption = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="The weights that the makers publish.")
    ] = False,
    mean: preparing.MeanOption = None,
    std: preparing.StdOption = None,
    interpolation: preparing.InterpolationOption = None,
    crop: preparing.CropOption = None,
    resize_mode: preparing.ResizeModeOption = None,
    color: preparing.ColorOption = None,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A page (.html) or a picture (.png).")
    ] = None,
    numbers_format: Annotated[
        NumbersFormat | None, typer.Option("--format", help="Print the numbers so.")
    ] = None,
) -> None:
    """Show what models look at in an image: attention maps and Grad-CAM, side by side, with
    numbers."""
    if output is None and numbers_format is None:
        raise DeployBenchError(
            "nothing is asked for", action="add -o attention.html, or --format json"
        )
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise DeployBenchError(
            f"{output} has no suffix that is known", expected=" or ".join(SUFFIXES)
        )
    pixels = [_pixel(text) for text in pixel or []]
    size = parse.one_image_size(image_size)
    said = preparing.preprocessing_options(
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop=crop,
        resize_mode=resize_mode,
        color=color,
        window=window,
        levels=levels,
        background=background,
        keep_orientation=keep_orientation,
    )

    from deploybench.attention.drawing import check_drawing
    from deploybench.attention.page import csv_of, html_of, json_of, png_of
    from deploybench.attention.study import study
    from deploybench.evaluate.predict import images_in
    from deploybench.export.assumptions import settled_preprocessing
    from deploybench.export.request import ModelRequest
    from deploybench.files import write_whole
    from deploybench.models.source import BuildOptions, expand_groups

    if output is not None:
        check_drawing()
    models = expand_groups([name for name in model.split(",") if name])
    checkpoints = _checkpoints(checkpoint or [], models)

    def prepare(name: str, built: BuiltModel, weights: Weights) -> Preprocessing:
        """As an export of the model with this checkpoint would have it."""
        file = checkpoints.get(name)
        asked = ModelRequest(
            name=name,
            checkpoint=None if file is None else str(file),
            image_size=size,
            preprocessing=said,
        )
        return settled_preprocessing(built, weights, asked)

    found = study(
        models,
        images_in(image),
        checkpoints=checkpoints,
        options=BuildOptions(
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=size,
            patch_size=patch_size,
            pretrained=pretrained,
        ),
        pixels=pixels,
        prepare=prepare,
        say=say_aside,
    )
    for unread in found.unread:
        say_aside(f"{unread} could not be read and was left out")
    for looked in found.looked:
        for note in (*looked.notes, *looked.sight.notes):
            say_aside(f"{looked.model}: {note}")
    for note in found.notes:
        say_aside(note)
    if output is not None:
        whole = png_of(found) if output.suffix.lower() == ".png" else html_of(found)
        write_whole(output, whole)
        say_aside(f"wrote {output}")
    if numbers_format is NumbersFormat.JSON:
        typer.echo(json_of(found))
    elif numbers_format is NumbersFormat.CSV:
        typer.echo(csv_of(found), nl=False)
    else:
        for row in found.rows:
            if not row.layer and row.value is not None:
                between = "" if row.low is None else f" [{row.low:.3g}, {row.high:.3g}]"
                say(f"{row.model}: {row.quantity} {row.value:.3g}{between} {row.unit}".rstrip())


def _pixel(text: str) -> tuple[int, int]:
    y, comma, x = text.partition(",")
    if not (comma and y.strip().isdecimal() and x.strip().isdecimal()):
        raise DeployBenchError(f"--pixel {text} is no pixel", expected="Y,X: 80,112")
    return int(y), int(x)


def _checkpoints(texts: list[str], models: list[str]) -> dict[str, Path]:
    """The file of each model."""
    files: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if equals and name in models:
            files[name] = Path(file)
        elif len(models) == 1:
            files[models[0]] = Path(text)
        else:
            raise DeployBenchError(
                f"--checkpoint {text} does not say of which model it is",
                expected=f"MODEL=FILE with a model of {', '.join(models)}",
            )
    return files
