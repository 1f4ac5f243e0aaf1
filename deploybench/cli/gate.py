"""``deploybench gate``: an exit code for a pipeline. 0 pass, 1 regression, 3 inconclusive (also
without a baseline), 2 refused."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded
from deploybench.cli.sources import records_of
from deploybench.errors import EXIT_INCONCLUSIVE, DeployBenchError


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
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Fail when a cell became slower: exit 0 for a pass, 1 for a regression, 3 when the runs cannot
    tell."""
    from deploybench.analysis.comparison import compare_records
    from deploybench.analysis.gate import EXIT_CODES, check_rows, outcome_of, summary_line
    from deploybench.analysis.matching import read_allowed
    from deploybench.report.comparison_table import check_data, gate_sheet
    from deploybench.report.console import output_console
    from deploybench.report.markdown import escape, sheet_markdown
    from deploybench.report.sheet import print_sheet
    from deploybench.report.tables import print_json
    from deploybench.results.store import NoRecordsError

    largest = parse.percent(max_regression, "--max-regression")
    allowed = read_allowed(parse.split_names(allow))
    new = records_of(candidate, workspace)
    try:
        old = records_of(baseline, workspace)
    except NoRecordsError as error:
        _say_without_baseline(error, as_json=json, markdown=markdown)
        raise typer.Exit(EXIT_INCONCLUSIVE) from None
    rows = compare_records(old, new, allowed=allowed)
    checks = check_rows(rows, largest)
    line = summary_line(checks, largest)
    if json:
        print_json([check_data(check) for check in checks])
        typer.echo(line, err=True)
    elif markdown:
        typer.echo(f"**{escape(line)}**\n\n{sheet_markdown(gate_sheet(checks, largest))}")
    else:
        print_sheet(gate_sheet(checks, largest), output_console())
        typer.echo(line)
    raise typer.Exit(EXIT_CODES[outcome_of(checks)])


def _say_without_baseline(error: DeployBenchError, *, as_json: bool, markdown: bool) -> None:
    """No rows in the form that was asked for, and why."""
    from deploybench.analysis.gate import line_without_baseline
    from deploybench.report.markdown import escape

    line = line_without_baseline(error.found)
    if as_json:
        typer.echo("[]")
        typer.echo(line, err=True)
    elif markdown:
        typer.echo(f"**{escape(line)}**")
    else:
        typer.echo(line)
