"""``deploybench run``: measure artifacts and print the comparison table."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.plan.cells import Planned
    from deploybench.results.record import Record
    from deploybench.runs.settings import RunContext, RunSettings

AUTO = "auto"
FINEST = 1e-4


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
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", help="Repeatable; exported first where missing. [default: all]"
        ),
    ] = None,
    artifact: parse.ArtifactOption = None,
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    runner: parse.RunnerOption = None,
    batch: Annotated[
        str,
        typer.Option("--batch", help="Batch sizes: 1,8,32; auto doubles until it stops to pay."),
    ] = "1",
    streams: Annotated[
        str,
        typer.Option(
            "--streams",
            help="Concurrent streams that share the threads: 1,2; auto: 1,2,4 … threads.",
        ),
    ] = "1",
    device: parse.DeviceOption = None,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="[default: each artifact's own]")
    ] = None,
    threads: parse.ThreadsOption = None,
    precision_target: Annotated[
        str, typer.Option("--precision-target", help="Launch until every interval is this narrow.")
    ] = "1%",
    budget: Annotated[
        str, typer.Option("--budget", help="Time for the launches of one cell at most.")
    ] = "60s",
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, help="Exactly so many launches of every cell instead."),
    ] = None,
    duration: Annotated[
        str, typer.Option("--duration", help="Sampling time of one launch: 2s, 500ms.")
    ] = "1s",
    min_samples: Annotated[
        int, typer.Option("--min-samples", min=1, help="Samples of one launch at least.")
    ] = 20,
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
    cuda_graph: Annotated[
        bool,
        typer.Option(
            "--cuda-graph", help="Runners that can launch the engine as one CUDA graph do so."
        ),
    ] = False,
    skip: Annotated[
        list[str] | None,
        typer.Option("--skip", help="Cells to leave out, as MODEL/RUNNER patterns: '*/inductor'."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the random order within a round.")] = 0,
    workspace: parse.WorkspaceOption = None,
    details: parse.DetailsOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
) -> None:
    """Measure artifacts on this machine: rounds of fresh processes, interleaved, parity before
    time."""
    from deploybench.artifacts.artifact import sha256_of_file
    from deploybench.artifacts.pack import read_pack
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import EXIT_SOME_FAILED, DeployBenchError, unknown_name
    from deploybench.export.pipeline import ExportOptions, check_model_names, default_jobs
    from deploybench.hardware.devices import CPU
    from deploybench.hardware.host import describe_host, usable_cores
    from deploybench.hardware.profile import HOST, check_match, load_profile
    from deploybench.measure.stopping import ExperimentRule
    from deploybench.plan.cells import Selection, plan_cells
    from deploybench.plan.selection import (
        nothing_to_run,
        select_artifacts,
        select_devices,
        select_runners,
    )
    from deploybench.report.console import remark_console
    from deploybench.report.printing import print_report
    from deploybench.report.run_report import run_report
    from deploybench.results.cell import DEFAULT_BASELINE, END_TO_END, ENGINE_ONLY, HOST_TO_HOST
    from deploybench.results.verdict import Verdict
    from deploybench.runs.missing import missing_exports
    from deploybench.runs.records import failed_export_record, unreadable_record
    from deploybench.runs.run import end_to_end_image
    from deploybench.runs.settings import RunContext, RunSettings, new_run_name
    from deploybench.runs.sweep import doublings, with_auto_batches
    from deploybench.statistics.samples import FEWEST_FOR_INTERVAL
    from deploybench.telemetry.peaks import measured_peaks

    asked = parse.output_format(table_format, json=json, csv=csv)
    chosen = None if profile == HOST else load_profile(profile)
    host = describe_host()
    if chosen is not None:
        check_match(chosen, host)
    devices = select_devices(parse.devices(device), chosen, host)
    pairs = (HOST_TO_HOST, host_to_host), (ENGINE_ONLY, engine_only), (END_TO_END, end_to_end)
    timings = [timing for timing, wanted in pairs if wanted] or [HOST_TO_HOST]
    place = open_workspace(workspace)
    place.prepare()
    file = end_to_end_image(image, place) if end_to_end else None
    settings = RunSettings(
        rule=ExperimentRule(
            precision=None
            if rounds
            else parse.percent(precision_target, "--precision-target", least=FINEST),
            budget_s=parse.seconds(budget, "--budget") if rounds is None else math.inf,
            min_rounds=FEWEST_FOR_INTERVAL,
            max_rounds=rounds,
        ),
        duration_s=parse.seconds(duration, "--duration"),
        min_samples=min_samples,
        seed=seed,
        baseline=baseline or DEFAULT_BASELINE,
        compare=baseline is not None,
        image=str(file) if file else None,
    )
    count = threads or usable_cores()
    selection = Selection(
        runners=select_runners(parse.split_names(runner), devices),
        batches=[1] if batch == AUTO else parse.positive_numbers(batch, "--batch"),
        precisions=parse.precisions(precision),
        threads=count,
        streams=doublings(count)
        if streams == AUTO
        else parse.positive_numbers(streams, "--streams"),
        timings=timings,
        image=sha256_of_file(file)[:12] if file else None,
        cuda_graph=cuda_graph,
        skip=parse.skip_patterns(skip),
        devices=devices,
    )
    if cuda_graph and not any(
        entry.plugin and entry.plugin.cuda_graphs for entry in selection.runners
    ):
        raise DeployBenchError(
            f"none of {', '.join(entry.name for entry in selection.runners)} launches CUDA graphs",
            expected="--cuda-graph with tensorrt or tensorrt-rtx among the runners",
            action="deploybench backends says what they need; or leave out --cuda-graph",
        )
    sizes = parse.sizes(image_size, patch_size)
    measured = [entry.name for entry in selection.runners]
    if baseline is not None and select_runners([baseline])[0].name not in measured:
        raise unknown_name("baseline among the runners of this run", baseline, measured)
    share = parse.percent(margin, "--margin")
    remarks = remark_console()
    models = parse.model_names(model)
    if packs:
        if models or artifact or image_size or patch_size:
            raise DeployBenchError(
                "a pack beside --model, --artifact or a size",
                expected="one way to say what to measure",
            )
        artifact = list(dict.fromkeys(one.path for pack in packs for one in read_pack(pack, place)))
    failed = []
    if models and not artifact:
        requests = missing_exports(models, place, selection, sizes, chosen)
        if requests:
            from deploybench.cli.export import export_with_progress

            remarks.print(f"exporting {len(requests)} missing artifacts first")
            check_model_names(models)
            results = export_with_progress(requests, place, ExportOptions(jobs=default_jobs()))
            failed = [result for result in results if result.artifact is None]
    unreadable = [] if artifact else place.unreadable()
    artifacts = select_artifacts(
        place, models, artifact or [], sizes, explained=bool(failed or unreadable)
    )
    peaks = measured_peaks(host, selection.threads) if CPU in devices else None
    if peaks is None and CPU in devices:
        remarks.print("the peaks of this host could not be measured: no % of peak", style="yellow")
    if peaks is not None and peaks.disturbed:
        remarks.print(
            f"the peaks of this host are too low: {peaks.disturbed} meanwhile", style="yellow"
        )
    context = RunContext(
        new_run_name(),
        chosen.name if chosen else HOST,
        place,
        host,
        peaks,
        selection.threads,
        tuple(devices),
        chosen,
        profile_file=str(Path(profile).resolve()) if chosen and profile != chosen.name else None,
    )
    records = [failed_export_record(result, context, artifacts) for result in failed]
    records += [unreadable_record(folder, error, context) for folder, error in unreadable]
    planned = plan_cells(artifacts, selection, chosen)
    if not planned and not records:
        raise nothing_to_run(artifacts, selection)
    if batch == AUTO:
        remarks.print("looking how far each batch sweep goes: one short launch a size")
        planned = with_auto_batches(planned, settings)
    interrupted = _measure(planned, settings, context, records)
    print_report(run_report(records, margin=share, details=details), asked)
    remarks.print(
        f"records: {place.records_folder / context.run}", style="dim", soft_wrap=True, markup=False
    )
    if interrupted:
        raise KeyboardInterrupt
    if any(record.judgement.verdict in (Verdict.FAILED, Verdict.INVALID) for record in records):
        raise typer.Exit(EXIT_SOME_FAILED)


def _measure(
    planned: Sequence[Planned], settings: RunSettings, context: RunContext, records: list[Record]
) -> bool:
    """Fill ``records`` with the latest record of every cell, in the order of the plan; True when
    interrupted."""
    from deploybench.processes import stop_children
    from deploybench.report.console import progress_bar
    from deploybench.runs.run import run_cells

    latest: dict[tuple[str | int | None, ...], Record] = {}
    interrupted = False
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=len([cell for cell in planned if cell.skip is None]))

        def start(cell: Planned, number: int) -> None:
            bar.update(task, description=f"round {number + 1}: {cell.cell.title()}")

        try:
            for record in run_cells(planned, settings, context, start=start):
                latest[record.cell.key] = record
                finished = sum(found.complete and bool(found.launches) for found in latest.values())
                bar.update(task, completed=finished)
        except KeyboardInterrupt:
            stop_children()
            interrupted = True
    records += [latest[cell.cell.key] for cell in planned if cell.cell.key in latest]
    return interrupted
