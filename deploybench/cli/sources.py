"""Where records come from on the command line: a run of the workspace, a folder, a file, or an
address; and what tells by how much whole runs shift."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.analysis.between_runs import OtherRuns
    from deploybench.archive.imported import Imported
    from deploybench.results.explanation import Explanation
    from deploybench.results.record import Record


def records_of(name: str | None, workspace: Path | None) -> list[Record]:
    """The records of the run, folder, file or address of that name; of the workspace's latest run
    for None: of the latest evaluation where nothing was timed."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.gating.sides import side_of
    from deploybench.results.store import latest_evaluation, latest_run, read_records

    if name is not None:
        return side_of(name, workspace).records
    folder = open_workspace(workspace).records_folder
    run = latest_run(folder) or latest_evaluation(folder)
    if run is None:
        raise DeployBenchError(
            f"{folder} holds no run in which anything was measured", action="deploybench run"
        )
    return read_records(run)


def imported_of(name: str | None, workspace: Path | None) -> list[Imported]:
    """What other tools measured, in the folder or file of that name; files that do not read are
    named aside. At an address there are records alone."""
    from deploybench.archive.importing import imported_below
    from deploybench.cli.guard import print_error
    from deploybench.gating.sides import folder_of, is_elsewhere

    if name is None or is_elsewhere(name):
        return []
    found, problems = imported_below(folder_of(name, workspace))
    for error in problems:
        print_error(error)
    return found


def with_known_qualities(records: Sequence[Record], workspace: Path | None) -> list[Record]:
    """The records of cells that were timed, with the qualities that stand among them or that the
    workspace knows of the same artifacts."""
    from deploybench.analysis.qualities import with_qualities
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.results.store import evaluations_in

    folder = open_workspace(workspace).records_folder
    return with_qualities(records, evaluations_in(folder))


def qualities_of(records: Sequence[Record], workspace: Path | None) -> list[Record]:
    """The records with a quality: evaluations among them, and what the workspace knows of those
    that were timed."""
    evaluated = [one for one in records if one.measures == "quality" and one.quality is not None]
    joined = with_known_qualities(records, workspace)
    return [*evaluated, *(one for one in joined if one.quality is not None)]


def timed_records(workspace: Path | None) -> list[Record]:
    """The records of the workspace's latest run in which cells were timed; none where there is
    none, or it does not read."""
    from deploybench.errors import DeployBenchError
    from deploybench.results.store import timed

    try:
        return timed(records_of(None, workspace))
    except DeployBenchError:
        return []


def layers_of(
    records: Sequence[Record],
    names: Sequence[str],
    given: Sequence[Path] | None,
    workspace: Path | None,
) -> list[Explanation]:
    """What ``deploybench explain`` found of the artifacts of these records.

    ``given`` are the files and folders to take, and nothing else is; None: all that lies in the
    folders of ``names``, and what the workspace has of artifacts that the records are of.
    """
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.gating.sides import folder_of
    from deploybench.results.explanation import explanations_below

    if given is not None:
        return [one for path in given for one in explanations_below(path)]
    found = []
    for name in names:
        folder = folder_of(name, workspace)
        if folder.is_dir():
            found += explanations_below(folder)
    timed_here = {(record.host.hostname, record.cell.artifact_key) for record in records}
    known = open_workspace(workspace).layers_folder
    for explanation in explanations_below(known) if known.is_dir() else ():
        host = explanation.host.hostname
        if all((host, side.artifact_key) in timed_here for side in explanation.sides):
            found.append(explanation)
    return found


def other_runs(
    records: Sequence[Record], workspace: Path | None, run_shift: str | None
) -> OtherRuns:
    """The shift of whole runs as the user gives it, else other runs of the cells to tell it."""
    from deploybench.analysis.between_runs import OtherRuns
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.cli import parse
    from deploybench.results.store import other_runs_of

    if run_shift is not None:
        return OtherRuns(given=parse.percent(run_shift, "--run-shift"))
    folder = open_workspace(workspace).records_folder
    return OtherRuns(records=other_runs_of(records, folder))
