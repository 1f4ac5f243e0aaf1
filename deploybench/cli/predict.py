"""``deploybench predict``: what an artifact sees in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def predict(
    artifact: Annotated[Path, typer.Argument(help="An artifact folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    runner: Annotated[
        str | None, typer.Option("--runner", "-r", help="[default: the format's own]")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    threads: parse.ThreadsOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Preprocess images as the manifest says, run the artifact, print the most probable classes."""
    from deploybench.evaluate.predict import predict_images
    from deploybench.hardware.host import usable_cores
    from deploybench.report.prediction_table import prediction_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    predictions = predict_images(
        artifact, images, runner=runner, top=top, threads=threads or usable_cores()
    )
    print_report(prediction_report(predictions), asked)
