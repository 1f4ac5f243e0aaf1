"""``deploybench gate``: an exit code for a pipeline. 0 pass, 1 regression, 3 inconclusive (also
without a baseline), 2 refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside
from deploybench.cli.sources import other_runs, qualities_of, records_of
from deploybench.errors import EXIT_INCONCLUSIVE, DeployBenchError

if TYPE_CHECKING:
    from deploybench.report.table import Format


@guarded
def gate(
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline",
            "-b",
            help="The run, folder, record, pack or address to hold it against: s3://BUCKET/main, "
            "git:origin/main:speed.",
        ),
    ],
    candidate: Annotated[
        str | None,
        typer.Argument(
            help="A run's name or folder, a record, a pack or an address; git::speed is what is "
            "staged. [default: the latest run]"
        ),
    ] = None,
    max_regression: Annotated[
        str, typer.Option("--max-regression", help="The slowdown that is accepted.")
    ] = "5%",
    max_accuracy_drop: Annotated[
        str | None,
        typer.Option(
            "--max-accuracy-drop",
            help="Also fail when a cell lost more accuracy, in percentage points: 1%. The sides "
            "are paired by image (deploybench evaluate).",
        ),
    ] = None,
    allow: parse.AllowOption = None,
    rerun_baseline: Annotated[
        bool | None,
        typer.Option(
            "--rerun-baseline/--no-rerun-baseline",
            help="Measure both sides' artifacts again, in one run, and judge that. [default: "
            "where both are at hand and nothing else changed]",
        ),
    ] = None,
    baseline_artifact: Annotated[
        list[Path] | None,
        typer.Option(
            "--baseline-artifact",
            help="The baseline's artifact, for --rerun-baseline; repeatable. [default: that of "
            "its record, in the workspace or in BASELINE/artifacts]",
        ),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", help="Time for a cell that is measured again.")
    ] = "60s",
    trust: parse.TrustOption = False,
    pass_inconclusive: Annotated[
        bool,
        typer.Option(
            "--pass-inconclusive", help="Exit 0 where the runs cannot tell; it still says so."
        ),
    ] = False,
    pass_without_baseline: Annotated[
        bool,
        typer.Option(
            "--pass-without-baseline", help="Exit 0 where there is no baseline; it still says so."
        ),
    ] = False,
    run_shift: parse.RunShiftOption = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Fail when a cell became slower: exit 0 for a pass, 1 for a regression, 3 when the runs cannot
    tell."""
    from deploybench.analysis.gate import (
        EXIT_CODES,
        Check,
        Outcome,
        outcome_of,
        summary_line,
        worst_of,
    )
    from deploybench.analysis.matching import read_allowed
    from deploybench.analysis.quality_comparison import (
        check_qualities,
        compare_qualities,
        quality_summary,
    )
    from deploybench.cli.progress import Progress
    from deploybench.gating.sides import Side, side_of
    from deploybench.gating.times import GateRequest, gate_times
    from deploybench.report.comparison_table import gate_table
    from deploybench.report.printing import print_report
    from deploybench.report.quality_comparison_table import quality_gate_table
    from deploybench.report.table import Format, Prose, Report, Style, Table
    from deploybench.results.store import NoRecordsError, timed

    asked = parse.output_format(table_format, json=json, markdown=markdown)
    largest = parse.percent(max_regression, "--max-regression")
    allowed = read_allowed(parse.split_names(allow))
    if candidate is None:
        changed = Side(records_of(None, workspace))
    else:
        changed = side_of(candidate, workspace)
    try:
        side = side_of(baseline, workspace)
    except NoRecordsError as error:
        _say_without_baseline(error, asked)
        raise typer.Exit(0 if pass_without_baseline else EXIT_INCONCLUSIVE) from None
    old, new = side.records, changed.records
    checks: list[Check] = []
    tables: list[Table] = []
    lines: list[str] = []
    drop = None
    if max_accuracy_drop is not None:
        drop = parse.percent(max_accuracy_drop, "--max-accuracy-drop")
    qualities = compare_qualities(qualities_of(old, workspace), qualities_of(new, workspace))
    if timed(old) or timed(new) or drop is None:
        others = other_runs([*timed(old), *timed(new)], workspace, run_shift)
        request = GateRequest(
            max_regression=largest,
            rerun_baseline=rerun_baseline,
            baseline_artifacts=baseline_artifact or (),
            budget_s=parse.seconds(budget, "--budget"),
            allowed=allowed,
            others=others,
            trust=trust,
            workspace=workspace,
        )
        with Progress(missing_first=True) as progress:
            checks = gate_times(side, changed, request, progress.tell)
        tables.append(gate_table(checks, largest))
        lines.append(summary_line(checks, largest))
    outcomes = [outcome_of(checks)] if tables else []
    if drop is not None:
        accuracies = check_qualities(qualities, drop)
        outcomes.append(outcome_of(accuracies))
        lines.append(f"{outcomes[-1].value}: {quality_summary(accuracies, drop)}")
        tables.append(quality_gate_table(accuracies, drop))
    data = [entry for table in tables for entry in table.data]
    if asked is Format.MARKDOWN:
        # The outcome first: a job's summary is read from its top, a log from its end.
        print_report(Report((Prose(tuple(lines), Style.STRONG), *tables), data), asked)
    elif asked is Format.TABLE:
        print_report(Report((*tables, Prose(tuple(lines))), data), asked)
    else:
        print_report(Report(tuple(tables), data), asked)
        for line in lines:
            say_aside(line)
    outcome = worst_of(outcomes)
    if outcome is Outcome.INCONCLUSIVE and pass_inconclusive:
        raise typer.Exit(0)
    raise typer.Exit(EXIT_CODES[outcome])


def _say_without_baseline(error: DeployBenchError, asked: Format) -> None:
    """No rows in the form that was asked for, and why."""
    from deploybench.analysis.gate import line_without_baseline
    from deploybench.report.comparison_table import gate_table
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format, Prose, Report, Style

    line = line_without_baseline(error.found)
    if asked in (Format.JSON, Format.CSV):
        print_report(Report((gate_table([], 0.0),)), asked)
        say_aside(line)
    else:
        print_report(Report((Prose((line,), Style.STRONG),)), asked)
