"""Where records come from on the command line: a run of the workspace, a folder, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploybench.results.record import Record


def records_of(name: str | None, workspace: Path | None) -> list[Record]:
    """The records of the run, folder or file of that name; of the workspace's latest run for
    None."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.results.store import latest_run, read_records

    folder = open_workspace(workspace).records_folder
    if name is not None:
        return read_records(folder / name if (folder / name).exists() else Path(name))
    run = latest_run(folder)
    if run is None:
        raise DeployBenchError(
            f"{folder} holds no run in which anything was measured", action="deploybench run"
        )
    return read_records(run)
