"""``deploybench gate``: an exit code for a pipeline. 0 pass, 1 regression, 3 inconclusive (also
without a baseline), 2 refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside
from deploybench.cli.sources import folder_of, other_runs, records_of
from deploybench.errors import EXIT_INCONCLUSIVE, DeployBenchError

if TYPE_CHECKING:
    from deploybench.report.table import Format


@guarded
def gate(
    baseline: Annotated[
        str, typer.Option("--baseline", "-b", help="The run, folder or record to hold it against.")
    ],
    candidate: Annotated[
        str | None,
        typer.Argument(help="A run's name or folder, or a record. [default: the latest run]"),
    ] = None,
    max_regression: Annotated[
        str, typer.Option("--max-regression", help="The slowdown that is accepted.")
    ] = "5%",
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
    run_shift: parse.RunShiftOption = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Fail when a cell became slower: exit 0 for a pass, 1 for a regression, 3 when the runs cannot
    tell."""
    from deploybench.analysis.comparison import compare_records
    from deploybench.analysis.gate import EXIT_CODES, check_rows, outcome_of, summary_line
    from deploybench.analysis.matching import read_allowed
    from deploybench.cli.progress import Progress
    from deploybench.report.comparison_table import gate_table
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format, Prose, Report, Style
    from deploybench.results.store import NoRecordsError
    from deploybench.runs.again import AgainRequest, compare_again

    asked = parse.output_format(table_format, json=json, markdown=markdown)
    largest = parse.percent(max_regression, "--max-regression")
    allowed = read_allowed(parse.split_names(allow))
    new = records_of(candidate, workspace)
    try:
        old = records_of(baseline, workspace)
    except NoRecordsError as error:
        _say_without_baseline(error, asked)
        raise typer.Exit(EXIT_INCONCLUSIVE) from None
    others = other_runs([*old, *new], workspace, run_shift)
    if rerun_baseline is False:
        rows = compare_records(old, new, allowed=allowed, others=others)
    else:
        request = AgainRequest(
            workspace=workspace,
            baseline_artifacts=baseline_artifact or (),
            artifact_folders=[folder_of(baseline, workspace) / "artifacts"],
            budget_s=parse.seconds(budget, "--budget"),
            trust=trust,
            insist=bool(rerun_baseline),
        )
        with Progress(missing_first=True) as progress:
            rows = compare_again(
                old, new, request, allowed=allowed, others=others, on_event=progress.tell
            )
    checks = check_rows(rows, largest)
    line = summary_line(checks, largest)
    table = gate_table(checks, largest)
    if asked is Format.MARKDOWN:
        # The outcome first: a job's summary is read from its top, a log from its end.
        print_report(Report((Prose((line,), Style.STRONG), table)), asked)
    elif asked is Format.TABLE:
        print_report(Report((table, Prose((line,)))), asked)
    else:
        print_report(Report((table,)), asked)
        say_aside(line)
    raise typer.Exit(EXIT_CODES[outcome_of(checks)])


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
