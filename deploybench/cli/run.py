"""``deploybench run``: measure artifacts and print the comparison table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import cell_options, parse
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, accepted_drop
from deploybench.cli.guard import guarded


@guarded
def run(
    packs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PACK]...", help="Files of deploybench pack: unpacked and measured."
        ),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="host, xeon, k80, gtx1080ti, rtx3090, FILE.toml.")
    ] = "host",
    model: parse.ModelsOption = None,
    artifact: parse.ArtifactOption = None,
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    runner: parse.RunnerOption = None,
    batch: Annotated[
        str,
        typer.Option("--batch", help="Batch sizes: 1,8,32; auto doubles until it stops paying."),
    ] = "1",
    streams: Annotated[
        str,
        typer.Option(
            "--streams",
            help="Concurrent streams that share the threads: 1,2; auto: 1,2,4 … threads.",
        ),
    ] = "1",
    device: parse.DeviceOption = None,
    precision: parse.PrecisionsOption = None,
    threads: parse.ThreadsOption = None,
    pin: parse.PinOption = "auto",
    precision_target: Annotated[
        str, typer.Option("--precision-target", help="Look until every interval is this narrow.")
    ] = "1%",
    budget: Annotated[
        str,
        typer.Option(
            "--budget", help="Time for a cell; those that are known leave theirs to the others."
        ),
    ] = "60s",
    rounds: parse.RoundsOption = None,
    launches: Annotated[
        str,
        typer.Option(
            "--launches",
            help="resident: processes rest and are visited in turn; fresh: one for every look. "
            "auto: resident on the CPU, without --rounds.",
        ),
    ] = "auto",
    canary: Annotated[
        bool,
        typer.Option(
            "--canary/--no-canary",
            help="Tell by fixed work between visits what speed the machine delivers.",
        ),
    ] = True,
    duration: Annotated[
        str | None,
        typer.Option(
            "--duration", help="Sampling time of one look: 2s. [default: launch 1s, visit 75ms]"
        ),
    ] = None,
    min_samples: parse.MinSamplesOption = 20,
    raw: Annotated[
        bool, typer.Option("--raw", help="Keep every sample, also beyond 100,000 a launch.")
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="Runner to compare with; launches go on until speed-ups are precise, too.",
        ),
    ] = None,
    margin: parse.MarginOption = "2%",
    host_to_host: Annotated[
        bool, typer.Option("--host-to-host", help="Time arrays to arrays. [default]")
    ] = False,
    engine_only: Annotated[
        bool, typer.Option("--engine-only", help="Time the engine on bound inputs.")
    ] = False,
    end_to_end: Annotated[
        bool,
        typer.Option(
            "--end-to-end", help="Time from an image file to probabilities. May be combined."
        ),
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(
            "--image", help="The file for --end-to-end. [default: a 640 x 480 JPEG of ours]"
        ),
    ] = None,
    cuda_graph: cell_options.CudaGraphOption = False,
    spinning: cell_options.SpinningOption = "default",
    arena: cell_options.ArenaOption = "on",
    graph_level: cell_options.GraphLevelOption = "all",
    openvino_hint: cell_options.OpenVinoHintOption = "latency",
    memory_format: cell_options.MemoryFormatOption = "default",
    allocator: cell_options.AllocatorOption = "default",
    huge_pages: cell_options.HugePagesOption = "default",
    convolutions: cell_options.ConvolutionsOption = "searched",
    environment: cell_options.EnvironmentOption = None,
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    skip: parse.SkipOption = None,
    seed: parse.SeedOption = 0,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    live: parse.LiveOption = True,
    quiet: parse.QuietOption = False,
    details: parse.DetailsOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
) -> None:
    """Measure artifacts on this machine: processes that are visited in turn, parity before time."""
    from deploybench.cli.progress import Progress
    from deploybench.cli.sources import with_known_qualities
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.hardware.pinning import read_pin
    from deploybench.report.console import remark
    from deploybench.report.printing import print_report
    from deploybench.report.run_report import run_report
    from deploybench.results.cell import END_TO_END, ENGINE_ONLY, HOST_TO_HOST
    from deploybench.runs.request import FINEST_PRECISION, RunRequest, carry_out
    from deploybench.runs.settings import LAUNCHES

    asked = parse.output_format(table_format, json=json, csv=csv)
    timings = []
    if host_to_host or not (engine_only or end_to_end):
        timings.append(HOST_TO_HOST)
    if engine_only:
        timings.append(ENGINE_ONLY)
    if end_to_end:
        timings.append(END_TO_END)
    sizes = parse.sizes(image_size, patch_size)
    request = RunRequest(
        models=parse.model_names(model),
        artifacts=artifact or (),
        packs=packs or (),
        image_sizes=sizes.images,
        patch_sizes=sizes.patches,
        runners=parse.split_names(runner),
        profile=profile,
        devices=parse.devices(device),
        precisions=parse.precisions(precision),
        batches=parse.numbers_or_auto(batch, "--batch"),
        threads=threads,
        pin=read_pin(pin),
        streams=parse.numbers_or_auto(streams, "--streams"),
        timings=timings,
        image=image,
        options=cell_options.read(
            cuda_graph=cuda_graph,
            spinning=spinning,
            arena=arena,
            graph_level=graph_level,
            openvino_hint=openvino_hint,
            memory_format=memory_format,
            allocator=allocator,
            huge_pages=huge_pages,
            convolutions=convolutions,
        ),
        environments=parse.split_names(environment),
        skip=parse.split_names(skip),
        precision_target=parse.percent(
            precision_target, "--precision-target", least=FINEST_PRECISION
        ),
        budget_s=parse.seconds(budget, "--budget"),
        rounds=rounds,
        launches=parse.choice(launches, "--launches", LAUNCHES),
        canary=canary,
        duration_s=None if duration is None else parse.seconds(duration, "--duration"),
        min_samples=min_samples,
        max_accuracy_drop=accepted_drop(accept_by, max_accuracy_drop),
        raw=raw,
        baseline=baseline,
        seed=seed,
        trust=trust,
        typed_with_trust=typed_with("--trust"),
        workspace=workspace,
    )
    share = parse.percent(margin, "--margin")
    showing = parse.showing(live=live, quiet=quiet)
    with Progress(missing_first=True, showing=showing) as progress:
        result = carry_out(request, progress.tell)
    records = with_known_qualities(result.records, workspace)
    print_report(run_report(records, margin=share, details=details), asked)
    remark(f"records: {result.folder}", "dim")
    if result.cut_short is not None:
        raise result.cut_short
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)
