"""``deploybench tune``: the fastest configuration of a model that is still right.

Exit 0: something is known to be within all limits; 1: nothing is; 3: it is not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import limits, parse
from deploybench.cli.data import (
    ColumnOption,
    UncertainOption,
    columns_in,
    names_in,
    uncertain_in,
)
from deploybench.cli.guard import guarded


@guarded
def tune(
    data: Annotated[
        Path, typer.Option("--data", "-d", help="A folder or a file of images, labelled or not.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="One model by its name.")] = "",
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Its weights. [default: random ones]"),
    ] = None,
    checkpoint_key: Annotated[
        str | None,
        typer.Option("--checkpoint-key", help="Which of several states in the checkpoint."),
    ] = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="timm's weights, over the network.")
    ] = False,
    num_classes: Annotated[
        int | None, typer.Option("--num-classes", min=1, help="[default: the model's]")
    ] = None,
    in_channels: Annotated[
        int | None, typer.Option("--in-channels", min=1, help="[default: the model's]")
    ] = None,
    image_size: Annotated[
        str | None, typer.Option("--image-size", help="Pixels: 96, 224x320. [default: the model's]")
    ] = None,
    patch_size: parse.OnePatchSizeOption = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="A text file of class names, one a line.")
    ] = None,
    task: parse.TaskOption = None,
    artifact: Annotated[
        list[Path] | None,
        typer.Option(
            "--artifact", help="Artifact folders or names, instead of a model; nothing is exported."
        ),
    ] = None,
    backend: parse.BackendsOption = None,
    runner: parse.RunnerOption = None,
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", help="[default: all that the device has arithmetic for]"),
    ] = None,
    max_accuracy_drop: Annotated[
        str,
        typer.Option(
            "--max-accuracy-drop",
            help="Lost beside fp32 eager on the same images, in percentage points at most; of "
            "images without labels: of the agreement with it.",
        ),
    ] = "1%",
    objective: Annotated[
        str,
        typer.Option("--objective", help="The best by: p50, p99, throughput, memory, size."),
    ] = "p50",
    memory_limit: Annotated[
        str | None,
        typer.Option("--memory-limit", help="Peak memory above the interpreter at most: 200MB."),
    ] = None,
    budget: Annotated[
        str,
        typer.Option("--budget", help="Time to export, evaluate and measure: 20m, 90s."),
    ] = "20m",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a call.")] = 1,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="host, xeon, rtx3090, FILE.toml.")
    ] = "host",
    device: parse.DeviceOption = None,
    threads: parse.ThreadsOption = None,
    pin: parse.PinOption = "auto",
    runtime_options: Annotated[
        bool,
        typer.Option(
            "--runtime-options/--no-runtime-options",
            help="Try threads and options of the runtimes on the finalists.",
        ),
    ] = True,
    export_options: Annotated[
        bool,
        typer.Option(
            "--export-options/--no-export-options",
            help="Write the finalists in other ways too: graph options, int8 with layers in float.",
        ),
    ] = True,
    split: Annotated[
        str | None,
        typer.Option(
            "--split", help="What is evaluated on. [default: test, else val, else all images]"
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            "--class-names",
            help="The data's classes in the order of the model's outputs: a,b,c, or a file.",
        ),
    ] = None,
    uncertain: UncertainOption = None,
    column: ColumnOption = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled", help="Leave labels aside: the agreement with fp32 eager counts."
        ),
    ] = False,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="Images that int8 is calibrated on; synthetic: noise. [default: some of --data "
            "that are not evaluated on]",
        ),
    ] = None,
    margin: parse.MarginOption = "2%",
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the order, and of which images come first.")
    ] = 0,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Measure again what an earlier call of this tuning measured."),
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", help="Where the bundle goes. [default: into the workspace]"),
    ] = None,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    live: parse.LiveOption = True,
    quiet: parse.QuietOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Find the fastest configuration of a model that is still right: every backend, precision and
    option, measured side by side."""
    from deploybench.cli.tune_progress import TuneProgress
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_INCONCLUSIVE, EXIT_SOME_FAILED
    from deploybench.hardware.pinning import read_pin
    from deploybench.report.console import remark
    from deploybench.report.printing import print_report
    from deploybench.report.tune_table import tune_report
    from deploybench.tuning.request import OBJECTIVES, TuneRequest
    from deploybench.tuning.tune import tune as tune_model

    asked = parse.output_format(table_format, json=json, csv=csv, markdown=markdown)
    by_name = {quantity.value: quantity for quantity in OBJECTIVES}
    memory = None
    if memory_limit is not None:
        memory = limits.byte_count(memory_limit, "--memory-limit")
    request = TuneRequest(
        data=data,
        model=model,
        checkpoint=checkpoint,
        checkpoint_key=checkpoint_key,
        pretrained=pretrained,
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=parse.one_image_size(image_size),
        patch_size=patch_size,
        labels=labels,
        task=task,
        artifacts=artifact or (),
        backends=parse.split_names(backend),
        runners=parse.split_names(runner),
        precisions=parse.precisions(precision),
        max_accuracy_drop=parse.percent(max_accuracy_drop, "--max-accuracy-drop"),
        objective=by_name[parse.choice(objective, "--objective", list(by_name))],
        memory_limit_bytes=memory,
        budget_s=parse.duration(budget, "--budget"),
        batch=batch,
        profile=profile,
        devices=parse.devices(device),
        threads=threads,
        pin=read_pin(pin),
        runtime_options=runtime_options,
        export_options=export_options,
        split=split,
        class_names=names_in(class_names),
        uncertain=uncertain_in(uncertain),
        columns=columns_in(column or []),
        unlabelled=unlabelled,
        calibration=calibration,
        margin=parse.percent(margin, "--margin"),
        seed=seed,
        fresh=fresh,
        bundle=bundle,
        trust=trust,
        typed_with_trust=typed_with("--trust"),
        workspace=workspace,
    )
    showing = parse.showing(live=live, quiet=quiet)
    with TuneProgress(showing=showing) as progress:
        result = tune_model(request, progress.tell)
    if result.tuned is not None:
        print_report(tune_report(result.tuned), asked)
    remark(f"journal: {result.folder}", "dim")
    if result.cut_short is not None:
        raise result.cut_short
    if result.tuned is None:
        raise typer.Exit(EXIT_SOME_FAILED)
    if result.winner is None:
        advice = result.tuned.advice
        raise typer.Exit(EXIT_SOME_FAILED if advice.settled else EXIT_INCONCLUSIVE)
