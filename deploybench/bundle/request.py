"""A bundle by one call: what is asked for, the cell that it means, and writing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.naming import only_artifact_named
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.bundle.checks import check_cell, of_cell
from deploybench.bundle.writing import write_bundle
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runners_of_format
from deploybench.contracts.registry import runner as find_runner
from deploybench.errors import DeployBenchError
from deploybench.files import from_here
from deploybench.hardware.host import usable_cores
from deploybench.hardware.precisions import check_precision
from deploybench.plan.cells import Selection, plan_cells
from deploybench.plan.selection import check_options
from deploybench.plurals import counted
from deploybench.results.cell import Cell, CellOptions
from deploybench.results.record import Record
from deploybench.results.store import read_records

NO_OPTIONS = CellOptions()


@dataclass(frozen=True)
class BundleRequest:
    """Which artifact is bundled, as which cell, and where to.

    ``artifact`` is its short name or its folder; None: that of the first record of a run.
    ``records`` are files, or folders of them. What is None is that record's, or the runner's own,
    the artifact's precision, one image, the usable cores. ``options`` are those of the cell
    where no record says them.
    """

    artifact: str | None
    folder: Path
    records: Sequence[Path] = ()
    runner: str | None = None
    precision: str | None = None
    batch: int | None = None
    threads: int | None = None
    options: CellOptions = NO_OPTIONS
    force: bool = False
    trust: bool = False
    typed_with_trust: str | None = None
    workspace: Path | None = None


@dataclass(frozen=True)
class WrittenBundle:
    """Where it lies, and what was served as which cell."""

    folder: Path
    cell: Cell
    measured: int
    evaluated: int

    @property
    def lines(self) -> list[str]:
        """What a user reads."""
        folder = from_here(self.folder)
        cell = f"{self.cell.title()}, {counted(self.cell.threads, 'thread')}"
        known = f"{counted(self.measured, 'measurement')}, {counted(self.evaluated, 'evaluation')}"
        return [
            f"{folder}: {cell}; it gives its runner's answers ({known} beside it)",
            f"try it: python {folder}/serve.py --check",
        ]


def carry_out_bundle(request: BundleRequest) -> WrittenBundle:
    """Write the bundle. Raises DeployBenchError where nothing answers to what was asked for, and as
    :func:`~deploybench.bundle.writing.write_bundle` does."""
    workspace = open_workspace(request.workspace)
    records: list[Record] = []
    for path in request.records:
        records += read_records(path)
    timed = [record for record in records if record.measures == "time"]
    quality = [record for record in records if record.quality is not None]
    artifact, cell = _asked(request, workspace, timed)
    write_bundle(
        artifact,
        cell,
        request.folder,
        records=timed,
        quality=quality,
        force=request.force,
        trust=request.trust,
        command=request.typed_with_trust,
    )
    return WrittenBundle(request.folder, cell, len(of_cell(cell, timed)), len(quality))


def _asked(
    request: BundleRequest, workspace: Workspace, timed: Sequence[Record]
) -> tuple[Artifact, Cell]:
    """The artifact and the cell: a record's, where one was named, else as the options say."""
    if not timed:
        if request.artifact is None:
            raise DeployBenchError(
                "nothing to bundle: no artifact, and no --record of a run",
                expected="one of them",
                action="deploybench bundle resnet50/onnx; deploybench list shows the names",
            )
        artifact = only_artifact_named(request.artifact, workspace)
        return artifact, _cell(request, artifact)
    cell = timed[0].cell
    contradicted = {
        "--runner": (request.runner, cell.runner),
        "--precision": (request.precision, cell.precision),
        "--batch": (request.batch, cell.batch),
        "--threads": (request.threads, cell.threads),
    }
    for flag, (asked, measured) in contradicted.items():
        if asked is not None and asked != measured:
            raise DeployBenchError(
                f"{flag} {asked}, and the record is of {measured}",
                expected="the cell that was measured",
                action=f"leave {flag} out, or --record out",
            )
    measured = {**cell.option_values, **request.options.chosen_options}
    if measured != cell.option_values:
        asked = " ".join(request.options.option_arguments)
        raise DeployBenchError(
            f"{asked}, and the record is of {', '.join(cell.option_titles) or 'no options'}",
            expected="the cell that was measured",
            action=f"leave {asked} out, or --record out",
        )
    return _artifact_of(cell, request, workspace), cell


def _artifact_of(cell: Cell, request: BundleRequest, workspace: Workspace) -> Artifact:
    """The artifact of a record: the one that was named, else where the record says that it lies,
    else the one in the workspace with its key."""
    if request.artifact is not None:
        return only_artifact_named(request.artifact, workspace)
    if cell.artifact is not None and Path(cell.artifact).is_dir():
        return open_artifact(Path(cell.artifact))
    for artifact in workspace.artifacts():
        if artifact.manifest.key == cell.artifact_key:
            return artifact
    raise DeployBenchError(
        f"the record's artifact is not at {cell.artifact}, nor in the workspace {workspace.root}",
        action="name it: deploybench bundle FOLDER --record RECORD",
    )


def _cell(request: BundleRequest, artifact: Artifact) -> Cell:
    """The cell that the options mean."""
    if request.precision is not None:
        check_precision(request.precision)
    entry = _runner_for(artifact, request.runner)
    selection = Selection(
        runners=[entry],
        batches=[request.batch or artifact.manifest.batch or 1],
        precisions=[request.precision] if request.precision else [],
        threads=request.threads or usable_cores(),
        options=request.options,
    )
    check_options(selection)
    planned = plan_cells([artifact], selection, None)
    if not planned:  # the runner takes no artifact of that format
        raise DeployBenchError(
            f"{entry.name} does not run {artifact.manifest.backend} artifacts",
            expected=f"an artifact in {', '.join(sorted(entry.require().formats))}",
        )
    (only,) = planned
    check_cell(artifact, only.cell, entry.require())
    if only.skip is not None:
        raise DeployBenchError(only.skip, action=only.remedy or None)
    return only.cell


def _runner_for(artifact: Artifact, name: str | None) -> Entry[Runner]:
    if name is not None:
        return find_runner(name)
    fitting = runners_of_format(artifact.manifest.backend)
    if not fitting:
        raise DeployBenchError(
            f"no runner on this host runs {artifact.manifest.backend} artifacts",
            action="deploybench doctor",
        )
    return fitting[0]
