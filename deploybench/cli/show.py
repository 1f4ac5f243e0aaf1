"""``deploybench show``: print a finished run again; nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def show(
    run: Annotated[
        str | None, typer.Argument(help="A run's name or folder, or a record. [default: the latest run]")
    ] = None,
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
) -> None:
    """Print the table of an earlier run from its records."""
    from deploybench.cli.run import print_records
    from deploybench.errors import DeployBenchError
    from deploybench.results import read_records, runs_in
    from deploybench.workspace import open_workspace

    folder = open_workspace(workspace).records_folder
    if run is None:
        runs = runs_in(folder)
        if not runs:
            raise DeployBenchError(f"{folder} holds no run", action="deploybench run")
        path = runs[-1]
    else:
        path = folder / run if (folder / run).exists() else Path(run)
    print_records(read_records(path), as_json=json, as_csv=csv)
