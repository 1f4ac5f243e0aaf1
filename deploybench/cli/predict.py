"""``deploybench predict``: what an artifact sees in image files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, known_accuracies
from deploybench.cli.guard import guarded, say_aside
from deploybench.plurals import counted

COLUMNS = ("image", "rank", "probability", "index", "class")


@guarded
def predict(
    artifact: Annotated[
        str, typer.Argument(help="An artifact: its short name (resnet18/onnx) or its folder.")
    ],
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    runner: Annotated[
        str | None, typer.Option("--runner", "-r", help="[default: the format's own]")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many classes to print.")] = 5,
    task: parse.TaskOption = None,
    threads: parse.ThreadsOption = None,
    trust: parse.TrustOption = False,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Preprocess images as the manifest says, run the artifact, print the most probable classes."""
    import os

    from deploybench.artifacts.naming import only_artifact_named
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.children.environment import cleared_of, in_words
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.evaluate.predict import images_in, predict_images
    from deploybench.report.prediction_table import prediction_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    place = open_workspace(workspace)
    accuracies = known_accuracies(place, accept_by, max_accuracy_drop)
    chosen = only_artifact_named(artifact, place)
    preprocessing = preparing.preprocessing_options(
        window=window, levels=levels, background=background, keep_orientation=keep_orientation
    )
    cleared = cleared_of(os.environ)
    if cleared:
        say_aside(f"{in_words(cleared)}: cleared, --threads says how many")
    predictions = predict_images(
        chosen.path,
        images_in(images),
        runner=runner,
        top=top,
        threads=threads,
        task=task,
        trust=trust,
        preprocessing=preprocessing,
        command=typed_with("--trust"),
        accuracies=accuracies,
    )
    print_report(prediction_report(predictions), asked)
    unreadable = [prediction for prediction in predictions if "error" in prediction]
    for prediction in unreadable:
        say_aside(f"left out: {prediction['error']}")
    if unreadable:
        say_aside(f"{len(unreadable)} of {counted(len(predictions), 'image')} could not be read")
        raise typer.Exit(EXIT_SOME_FAILED)
