"""``deploybench run``: measure artifacts and print the comparison table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.benchmark import RunContext, RunSettings
    from deploybench.plan import Planned
    from deploybench.results import Record


@guarded
def run(
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="host, xeon, k80, gtx1080ti, rtx3090, FILE.toml.")
    ] = "host",
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Repeatable; exported first where missing. [default: all]")
    ] = None,
    artifact: Annotated[list[Path] | None, typer.Option("--artifact", help="One artifact folder; repeatable.")] = None,
    runner: Annotated[
        list[str] | None, typer.Option("--runner", "-r", help="[default: all that this host can]")
    ] = None,
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes to sweep: 1,8,32.")] = "1",
    precision: Annotated[list[str] | None, typer.Option("--precision", help="[default: each artifact's own]")] = None,
    threads: parse.ThreadsOption = None,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Fresh launches of every cell, interleaved.")] = 3,
    duration: Annotated[str, typer.Option("--duration", help="Sampling time of one launch: 2s, 500ms.")] = "2s",
    warmup: Annotated[str, typer.Option("--warmup", help="Warm-up time of one launch.")] = "500ms",
    min_samples: Annotated[int, typer.Option("--min-samples", min=1, help="Samples of one launch at least.")] = 20,
    skip: Annotated[
        list[str] | None, typer.Option("--skip", help="Cells to leave out, as MODEL/RUNNER patterns: '*/inductor'.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the random order within a round.")] = 0,
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Measure artifacts on this machine: rounds of fresh processes, interleaved, parity before time."""
    from deploybench.benchmark import RunContext, RunSettings, new_run_name
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.export.pipeline import ExportOptions, check_model_names, default_jobs
    from deploybench.host import describe_host, usable_cores
    from deploybench.peaks import measured_peaks
    from deploybench.plan import Selection, plan_cells
    from deploybench.profile import HOST, check_match, load_profile
    from deploybench.report.console import remark_console
    from deploybench.results import Verdict
    from deploybench.selection import missing_exports, nothing_to_run, select_artifacts, select_runners
    from deploybench.unmeasured import failed_export_record, unreadable_record
    from deploybench.workspace import open_workspace

    chosen = None if profile == HOST else load_profile(profile)
    host = describe_host()
    if chosen is not None:
        check_match(chosen, host)
    settings = RunSettings(
        rounds=rounds,
        duration_s=parse.seconds(duration, "--duration"),
        warmup_s=parse.seconds(warmup, "--warmup"),
        min_samples=min_samples,
        seed=seed,
    )
    selection = Selection(
        runners=select_runners(parse.split_names(runner)),
        batches=parse.positive_numbers(batch, "--batch"),
        precisions=parse.precisions(precision),
        threads=threads or usable_cores(),
        skip=parse.split_names(skip),
    )
    place = open_workspace(workspace)
    place.prepare()
    remarks = remark_console()
    models = parse.split_names(model)
    failed = []
    if models and not artifact:
        requests = missing_exports(models, place, selection)
        if requests:
            from deploybench.cli.export import export_with_progress

            remarks.print(f"exporting {len(requests)} missing artifacts first")
            check_model_names(models)
            results = export_with_progress(requests, place, ExportOptions(jobs=default_jobs()))
            failed = [result for result in results if result.artifact is None]
    unreadable = [] if artifact else place.unreadable()
    artifacts = select_artifacts(place, models, artifact or [], explained=bool(failed or unreadable))
    peaks = measured_peaks(host, selection.threads)
    if peaks is None:
        remarks.print("the peaks of this host could not be measured: no % of peak", style="yellow")
    context = RunContext(new_run_name(), chosen.name if chosen else HOST, place, host, peaks, selection.threads)
    records = [failed_export_record(result, context, artifacts) for result in failed]
    records += [unreadable_record(folder, error, context) for folder, error in unreadable]
    planned = plan_cells(artifacts, selection, chosen)
    if not planned and not records:
        raise nothing_to_run(artifacts, selection)
    interrupted = _measure(planned, settings, context, records)
    print_records(records, as_json=json, as_csv=csv)
    remarks.print(f"records: {place.records_folder / context.run}", style="dim", soft_wrap=True, markup=False)
    if interrupted:
        raise KeyboardInterrupt
    if any(record.judgement.verdict in (Verdict.FAILED, Verdict.INVALID) for record in records):
        raise typer.Exit(EXIT_SOME_FAILED)


def _measure(planned: Sequence[Planned], settings: RunSettings, context: RunContext, records: list[Record]) -> bool:
    """Fill ``records`` with the latest record of every cell, in the order of the plan; True when interrupted."""
    from deploybench.benchmark import run_cells
    from deploybench.processes import stop_children
    from deploybench.report.console import progress_bar

    latest: dict[tuple[str | None, str, str, int], Record] = {}
    interrupted = False
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=sum(settings.rounds for cell in planned if cell.skip is None))

        def start(cell: Planned, number: int) -> None:
            bar.update(task, description=f"round {number + 1}: {cell.cell.title()}")

        try:
            for record in run_cells(planned, settings, context, start=start):
                cell = record.cell
                latest[cell.artifact, cell.runner, cell.precision, cell.batch] = record
                if record.launches:
                    bar.advance(task, 1 if not record.complete else settings.rounds - len(record.launches) + 1)
        except KeyboardInterrupt:
            stop_children()
            interrupted = True
    for planned_cell in planned:
        cell = planned_cell.cell
        found = latest.get((cell.artifact, cell.runner, cell.precision, cell.batch))
        if found is not None:
            records.append(found)
    return interrupted


def print_records(records: Sequence[Record], *, as_json: bool, as_csv: bool) -> None:
    from deploybench.report.console import output_console
    from deploybench.report.rows import rows_of, to_csv, to_json
    from deploybench.report.run_table import print_run_table

    rows = rows_of(records)
    if as_json:
        typer.echo(to_json(rows))
    elif as_csv:
        typer.echo(to_csv(rows), nl=False)
    elif rows:
        print_run_table(rows, output_console())
