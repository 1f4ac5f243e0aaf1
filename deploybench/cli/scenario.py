"""``deploybench scenario``: MLPerf's scenarios by MLPerf's LoadGen."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, accepted_drop
from deploybench.cli.guard import guarded


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
    precision: parse.PrecisionsOption = None,
    threads: parse.ThreadsOption = None,
    pin: parse.PinOption = "auto",
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, max=2**64 - 1, help="Server: of the arrival times. [default: MLPerf's]"
        ),
    ] = None,
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Measure under MLPerf's load scenarios with MLPerf's own LoadGen. Not an MLPerf submission."""
    from deploybench.cli.progress import Progress
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.hardware.pinning import read_pin
    from deploybench.report.console import remark
    from deploybench.report.printing import print_report
    from deploybench.report.scenario_table import scenario_report
    from deploybench.report.table import Format
    from deploybench.scenarios.request import ScenarioRequest, run_scenarios, scenarios_named

    asked = parse.output_format(table_format, json=json)
    sizes = parse.sizes(image_size, patch_size)
    request = ScenarioRequest(
        scenarios=scenarios_named(parse.split_names(scenario)),
        threads=threads,
        pin=read_pin(pin),
        duration_s=parse.seconds(duration, "--duration"),
        percentile=percentile,
        min_queries=min_queries,
        target_qps=target_qps,
        find_max_rate=find_max_rate,
        latency_bound_s=parse.optional_seconds(latency_bound, "--latency-bound"),
        seed=seed,
        samples_per_query=samples_per_query,
        instances=instances,
        batch=batch,
        models=parse.model_names(model),
        artifacts=artifact or (),
        image_sizes=sizes.images,
        patch_sizes=sizes.patches,
        runners=parse.split_names(runner),
        precisions=parse.precisions(precision),
        max_accuracy_drop=accepted_drop(accept_by, max_accuracy_drop),
        trust=trust,
        typed_with_trust=typed_with("--trust"),
        workspace=workspace,
    )
    with Progress() as progress:
        result = run_scenarios(request, progress.tell)
    if result.records or asked is not Format.TABLE:
        print_report(scenario_report(result.records), asked)
    remark(f"records: {result.folder}", "dim")
    if result.interrupted:
        raise KeyboardInterrupt
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)
