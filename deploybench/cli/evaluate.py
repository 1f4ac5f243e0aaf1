"""``deploybench evaluate``: how good the answers of artifacts are on images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, accepted_drop
from deploybench.cli.data import (
    ColumnOption,
    UncertainOption,
    columns_in,
    names_in,
    uncertain_in,
)
from deploybench.cli.guard import guarded


@guarded
def evaluate(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="A folder or a file of images, labelled or not.")
    ],
    model: parse.ModelsOption = None,
    artifact: parse.ArtifactOption = None,
    runner: parse.RunnerOption = None,
    precision: parse.PrecisionsOption = None,
    device: parse.DeviceOption = None,
    split: Annotated[
        str | None, typer.Option("--split", help="One split of the data: test. [default: all]")
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            "--class-names",
            help="The data's classes in the order of the model's outputs: a,b,c, or a file with "
            "one a line.",
        ),
    ] = None,
    uncertain: UncertainOption = None,
    column: ColumnOption = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled", help="Leave labels aside: tell the agreement with fp32 eager only."
        ),
    ] = False,
    task: parse.TaskOption = None,
    batch: Annotated[
        int,
        typer.Option("--batch", min=1, help="Images a call, where the artifact leaves it free."),
    ] = 8,
    threads: parse.ThreadsOption = None,
    pin: parse.PinOption = "auto",
    margin: Annotated[
        str,
        typer.Option("--margin", help="Accuracies within this of fp32 eager's are the SAME."),
    ] = "1%",
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--eager/--no-eager", help="Hold every cell against fp32 eager on the same images."
        ),
    ] = True,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Predict again what an earlier evaluation predicted."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    live: parse.LiveOption = True,
    quiet: parse.QuietOption = False,
    details: Annotated[
        bool, typer.Option("--details", help="Also print every class, and what was confused.")
    ] = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Evaluate artifacts on images: accuracy with intervals, beside fp32 eager; without labels,
    the agreement with it."""
    from deploybench.cli.progress import Progress
    from deploybench.cli.sources import timed_records
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.hardware.pinning import read_pin
    from deploybench.report.console import remark
    from deploybench.report.printing import print_report
    from deploybench.report.quality_table import quality_report
    from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation

    asked = parse.output_format(table_format, json=json, csv=csv, markdown=markdown)
    said = preparing.preprocessing_options(
        window=window, levels=levels, background=background, keep_orientation=keep_orientation
    )
    request = EvaluationRequest(
        data=data,
        split=split,
        class_names=names_in(class_names),
        uncertain=uncertain_in(uncertain),
        columns=columns_in(column or []),
        unlabelled=unlabelled,
        models=parse.model_names(model),
        artifacts=artifact or (),
        runners=parse.split_names(runner),
        devices=parse.devices(device),
        precisions=parse.precisions(precision),
        batch=batch,
        threads=threads,
        pin=read_pin(pin),
        task=task,
        preprocessing=said if said.model_dump() else None,
        compare=compare,
        max_accuracy_drop=accepted_drop(accept_by, max_accuracy_drop),
        fresh=fresh,
        seed=seed,
        trust=trust,
        workspace=workspace,
    )
    share = parse.percent(margin, "--margin")
    showing = parse.showing(live=live, quiet=quiet)
    with Progress(missing_first=True, showing=showing) as progress:
        result = carry_out_evaluation(request, progress.tell)
    report = quality_report(result.records, timed_records(workspace), margin=share, details=details)
    print_report(report, asked)
    remark(f"records: {result.folder}", "dim")
    if result.cut_short is not None:
        raise result.cut_short
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)
