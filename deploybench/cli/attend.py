"""``deploybench attend``: what models look at in an image."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli.guard import guarded, say, say_aside
from deploybench.errors import DeployBenchError

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
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="In pixels, of a square.")
    ] = None,
    num_classes: Annotated[int | None, typer.Option("--num-classes", min=1)] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="The weights that the makers publish.")
    ] = False,
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

    from deploybench.attention.drawing import check_drawing
    from deploybench.attention.page import csv_of, html_of, json_of, png_of
    from deploybench.attention.study import study
    from deploybench.evaluate.predict import images_in
    from deploybench.files import write_whole
    from deploybench.models.source import BuildOptions, expand_groups

    if output is not None:
        check_drawing()
    models = expand_groups([name for name in model.split(",") if name])
    size = None if image_size is None else (image_size, image_size)
    found = study(
        models,
        images_in(image),
        checkpoints=_checkpoints(checkpoint or [], models),
        options=BuildOptions(num_classes=num_classes, image_size=size, pretrained=pretrained),
        pixels=pixels,
        say=say_aside,
    )
    for unread in found.unread:
        say_aside(f"{unread} could not be read and was left out")
    for looked in found.looked:
        for note in looked.sight.notes:
            say_aside(f"{looked.model}: {note}")
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
