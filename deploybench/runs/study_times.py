"""Times that are known already: of a run of the workspace that holds every cell of a study."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import runners
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import Host
from deploybench.plan.cells import Selection, plan_cells
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.results.store import read_records, runs_in, timed
from deploybench.versions import installed_versions


def times_of(
    artifacts: Sequence[Artifact], selection: Selection, workspace: Workspace, host: Host
) -> list[Record] | None:
    """The records of the newest run in which all cells of the selection were measured on this
    machine, with the versions that are installed now; None where there is no such run.

    Only whole runs count: models are ordered by times that were taken side by side. A cell that
    failed there is not tried again.
    """
    wanted = [_identity(plan.cell) for plan in plan_cells(artifacts, selection, None)]
    for run in reversed(runs_in(workspace.records_folder)):
        records: list[Record] = []
        with contextlib.suppress(DeployBenchError):
            records = timed(read_records(run))
        known = {_identity(record.cell): record for record in records if _counts(record, host)}
        if all(identity in known for identity in wanted):
            return [known[identity] for identity in wanted]
    return None


def _identity(cell: Cell) -> tuple[object, ...]:
    """The cell without where its artifact lies."""
    return (cell.artifact_key, *cell.identity)


def _counts(record: Record, host: Host) -> bool:
    """Whether the record is whole, and of what would be measured now."""
    there = record.host
    if (there.hostname, there.cpu_model) != (host.hostname, host.cpu_model):
        return False
    if [gpu.name for gpu in there.gpus] != [gpu.name for gpu in host.gpus]:
        return False
    if not record.complete:
        return False
    if not record.versions:
        # A skipped cell, or one that broke before anything ran.
        return True
    entry = runners().get(record.cell.runner)
    if entry is None or entry.plugin is None:
        return False
    return record.versions == installed_versions(entry.plugin.distributions)
