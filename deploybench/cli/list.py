"""``deploybench list``: the artifacts and runs of a workspace."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def list_workspace(
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """List the artifacts of the workspace, with the names to type, and its runs."""
    from deploybench.artifacts.tidy import stored_artifacts, stored_runs
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.report.printing import print_report
    from deploybench.report.workspace_table import workspace_report

    asked = parse.output_format(table_format, json=json)
    opened = open_workspace(workspace)
    report = workspace_report(stored_artifacts(opened), stored_runs(opened), opened.unreadable())
    print_report(report, asked)
