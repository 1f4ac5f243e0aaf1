"""``deploybench show``: print a finished run again; nothing is measured."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def show(
    run: Annotated[
        str | None,
        typer.Argument(help="A run's name or folder, or a record. [default: the latest run]"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Runner to compare the others with. [default: the run's]"),
    ] = None,
    margin: parse.MarginOption = "2%",
    workspace: parse.WorkspaceOption = None,
    details: parse.DetailsOption = False,
    json: parse.JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Print the table of an earlier run from its records."""
    from deploybench.cli.run import print_records
    from deploybench.cli.sources import records_of

    share = parse.percent(margin, "--margin")
    print_records(
        records_of(run, workspace),
        baseline=baseline,
        margin=share,
        details=details,
        as_json=json,
        as_csv=csv,
    )
