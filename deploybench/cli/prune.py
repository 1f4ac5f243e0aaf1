"""``deploybench prune``: remove from the workspace what nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say
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
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Remove unreadable and superseded artifacts, the predictions of artifacts that are gone, what
    dead processes left, and empty runs; runs with records only with --keep-last or --older-than."""
    from deploybench.artifacts.tidy import prunable
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format
    from deploybench.report.workspace_table import removals_report, size_text

    asked = parse.output_format(table_format, json=json)
    if asked is not Format.TABLE and not dry_run:
        raise DeployBenchError(
            f"--format {asked.value} without --dry-run",
            expected="data for a program is shown without removing anything",
            action="add --dry-run",
        )
    opened = open_workspace(workspace)
    older_than_s = None if older_than is None else older_than * DAY_S
    removals = prunable(opened, keep_last=keep_last, older_than_s=older_than_s)
    if asked is not Format.TABLE:
        print_report(removals_report(removals), asked)
    elif not removals:
        say(f"nothing to remove from {opened.root}")
    elif dry_run:
        print_report(removals_report(removals))
        total = sum(removal.size_bytes for removal in removals)
        say(f"would remove {len(removals)} from {opened.root}, {size_text(total)}")
    else:
        remove_with_consent(opened, removals, yes=yes)
