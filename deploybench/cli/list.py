"""``deploybench list``: the artifacts and runs of a workspace."""

from __future__ import annotations

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def list_workspace(workspace: parse.WorkspaceOption = None, json: parse.JsonOption = False) -> None:
    """List the artifacts of the workspace, with the names to type, and its runs."""
    from deploybench.artifacts.tidy import stored_artifacts, stored_runs
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json
    from deploybench.report.workspace_table import artifact_rows, print_workspace, run_rows

    place = open_workspace(workspace)
    artifacts = stored_artifacts(place)
    runs = stored_runs(place)
    unreadable = place.unreadable()
    if json:
        broken = [{"path": str(path), "reason": error.found} for path, error in unreadable]
        print_json(
            {
                "artifacts": artifact_rows(artifacts),
                "runs": run_rows(runs),
                "unreadable": broken,
            }
        )
        return
    print_workspace(artifacts, runs, unreadable, output_console())
