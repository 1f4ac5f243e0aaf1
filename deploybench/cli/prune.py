"""``deploybench prune``: remove from the workspace what nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded
from deploybench.cli.rm import YesOption, remove_with_consent

DAY_S = 86400.0


@guarded
def prune(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be removed.")
    ] = False,
    keep_last: Annotated[
        int | None,
        typer.Option("--keep-last", min=0, help="Also remove runs, but the newest so many."),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option("--older-than", min=0, help="Also remove runs older than so many days."),
    ] = None,
    yes: YesOption = False,
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Remove unreadable and superseded artifacts, what dead processes left, and empty runs; runs
    with records only with --keep-last or --older-than."""
    from deploybench.artifacts.tidy import prunable
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json
    from deploybench.report.workspace_table import print_removals, removal_rows, size_text

    if json and not dry_run:
        raise DeployBenchError("--json without --dry-run", expected="--json shows, nothing else")
    place = open_workspace(workspace)
    older_than_s = None if older_than is None else older_than * DAY_S
    removals = prunable(place, keep_last=keep_last, older_than_s=older_than_s)
    if json:
        print_json(removal_rows(removals))
    elif not removals:
        typer.echo(f"nothing to remove from {place.root}")
    elif dry_run:
        print_removals(removals, output_console())
        total = sum(removal.size_bytes for removal in removals)
        typer.echo(f"would remove {len(removals)} from {place.root}, {size_text(total)}")
    else:
        remove_with_consent(place, removals, yes=yes)
