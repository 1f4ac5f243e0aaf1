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
    json: parse.JsonOption = False,
) -> None:
    """Preprocess images as the manifest says, run the artifact, print the most probable classes."""
    from deploybench.evaluate.predict import predict_images
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json, print_table

    predictions = predict_images(artifact, images, runner=runner, top=top, threads=threads)
    if json:
        print_json(predictions)
        return
    rows = []
    for prediction in predictions:
        for rank, guess in enumerate(prediction["classes"], 1):
            name = Path(prediction["image"]).name if rank == 1 else ""
            rows.append(
                [
                    name,
                    str(rank),
                    f"{100 * guess['probability']:.1f}%",
                    f"{guess['index']}",
                    guess["name"],
                ]
            )
    print_table(["image", "rank", "probability", "index", "class"], rows, output_console())
