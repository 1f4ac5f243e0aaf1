"""``deploybench scenario``: MLPerf's scenarios by MLPerf's LoadGen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.plan.cells import Planned
    from deploybench.scenarios.record import ScenarioRecord
    from deploybench.scenarios.run import ScenarioContext
    from deploybench.scenarios.settings import ScenarioSettings


@guarded
def scenario(
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Repeatable; in the workspace. [default: all there]"),
    ] = None,
    artifact: parse.ArtifactOption = None,
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    runner: parse.RunnerOption = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            "-s",
            help="single-stream, multi-stream, server, offline. [default: single-stream]",
        ),
    ] = None,
    target_qps: Annotated[
        float | None,
        typer.Option("--target-qps", help="Server: mean arrivals per second. [default: 20]"),
    ] = None,
    find_max_rate: Annotated[
        bool,
        typer.Option(
            "--find-max-rate", help="Server: find the highest rate that holds the latency bound."
        ),
    ] = False,
    latency_bound: Annotated[
        str | None,
        typer.Option(
            "--latency-bound", help="Server: of a query, at the percentile. [default: 50ms]"
        ),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option("--percentile", help="[default: 90 in single-stream, else 99, as in MLPerf]"),
    ] = None,
    samples_per_query: Annotated[
        int | None,
        typer.Option(
            "--samples-per-query", min=1, help="Multi-stream: images a query. [default: 8]"
        ),
    ] = None,
    instances: Annotated[
        int | None,
        typer.Option(
            "--instances", min=1, help="Server, offline: sessions that share the threads."
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, help="Multi-stream, offline: images a call; the last is padded."
        ),
    ] = None,
    duration: Annotated[
        str, typer.Option("--duration", help="Of a test at least (MLPerf: 600s).")
    ] = "10s",
    min_queries: Annotated[
        int | None,
        typer.Option(
            "--min-queries",
            min=1,
            help="[default: what LoadGen's early stopping needs: 662 for p99]",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="[default: each artifact's own]")
    ] = None,
    threads: parse.ThreadsOption = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=2**64 - 1, help="Server: of the arrival times. [default: MLPerf's]"
        ),
    ] = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Measure under MLPerf's load scenarios with MLPerf's own LoadGen. Not an MLPerf submission."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.hardware.host import describe_host, usable_cores
    from deploybench.plan.cells import Selection
    from deploybench.plan.selection import nothing_to_run, select_artifacts, select_runners
    from deploybench.report.console import remark_console
    from deploybench.report.printing import print_report
    from deploybench.report.scenario_table import scenario_report
    from deploybench.report.table import Format
    from deploybench.results.verdict import Verdict
    from deploybench.runs.settings import new_run_name
    from deploybench.scenarios.record import scenarios_folder
    from deploybench.scenarios.request import ScenarioRequest, plan_scenarios, scenarios_named
    from deploybench.scenarios.run import ScenarioContext, check_loadgen

    asked = parse.output_format(table_format, json=json)
    request = ScenarioRequest(
        scenarios=scenarios_named(parse.split_names(scenario)),
        threads=threads or usable_cores(),
        duration_s=parse.seconds(duration, "--duration"),
        percentile=percentile,
        min_queries=min_queries,
        target_qps=target_qps,
        find_max_rate=find_max_rate,
        latency_bound_s=None
        if latency_bound is None
        else parse.seconds(latency_bound, "--latency-bound"),
        seed=seed,
        samples_per_query=samples_per_query,
        instances=instances,
        batch=batch,
    )
    request.settings()
    check_loadgen()
    entries = select_runners(parse.split_names(runner))
    precisions = parse.precisions(precision)
    place = open_workspace(workspace)
    place.prepare()
    models, sizes = parse.model_names(model), parse.sizes(image_size, patch_size)
    artifacts = select_artifacts(place, models, artifact or [], sizes, explained=False)
    cells = plan_scenarios(artifacts, entries, precisions, request)
    if not cells:
        raise nothing_to_run(artifacts, Selection(entries, [1], precisions, request.threads))
    context = ScenarioContext(new_run_name(), place, describe_host())
    records, interrupted = _measure(cells, context)
    if records or asked is not Format.TABLE:
        print_report(scenario_report(records), asked)
    folder = scenarios_folder(place) / context.run
    remark_console().print(f"records: {folder}", style="dim", soft_wrap=True, markup=False)
    if interrupted:
        raise KeyboardInterrupt
    if any(record.judgement.verdict in (Verdict.FAILED, Verdict.INVALID) for record in records):
        raise typer.Exit(EXIT_SOME_FAILED)


def _measure(
    cells: Sequence[tuple[Planned, ScenarioSettings]], context: ScenarioContext
) -> tuple[list[ScenarioRecord], bool]:
    """The records in the order of the cells, and whether an interrupt cut them short."""
    from deploybench.processes import stop_children
    from deploybench.report.console import progress_bar
    from deploybench.scenarios.run import run_scenario

    records: list[ScenarioRecord] = []
    with progress_bar() as bar:
        task = bar.add_task("measuring", total=len(cells))
        try:
            for planned, settings in cells:
                title = f"{settings.scenario.value}: {planned.cell.title()}"

                def start(what: str, title: str = title) -> None:
                    bar.update(task, description=f"{title} {what}".rstrip())

                records.append(run_scenario(planned, settings, context, start=start))
                bar.advance(task)
        except KeyboardInterrupt:
            stop_children()
            return records, True
    return records, False
