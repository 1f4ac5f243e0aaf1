"""Which cells an evaluation has, which of them stands for fp32 eager, and what each is held to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.task import Task, task_asked
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, reference_runner, runners
from deploybench.data.assumptions import check_prepared
from deploybench.data.dataset import DataSet
from deploybench.data.postprocess import task_in
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.classes import Matched, matched
from deploybench.evaluate.predicting import classes_of
from deploybench.hardware.devices import CPU
from deploybench.plan.cells import Planned, Selection, plan_cells
from deploybench.plan.consent import check_planned
from deploybench.plan.selection import newest_artifacts
from deploybench.results.cell import BASELINE_PRECISION

DEFAULT_BATCH = 8
ADOPTED = "adopted from a file: there is no PyTorch model of it"
KINDS = ("multi_class", "multi_label", "binary")
"""The tasks whose answers are right or wrong."""


@dataclass(frozen=True)
class Asked:
    """Of every evaluation: the runners, and what they are asked for."""

    runners: Sequence[Entry[Runner]]
    devices: Sequence[str]
    precisions: Sequence[str]
    threads: int
    batch: int = DEFAULT_BATCH
    skip: Sequence[str] = ()

    def selection(self, artifact: Artifact) -> Selection:
        """The selection for an artifact, whose batch size may be fixed."""
        return Selection(
            runners=self.runners,
            batches=[artifact.manifest.batch or self.batch],
            precisions=self.precisions,
            threads=self.threads,
            skip=self.skip,
            devices=self.devices,
        )


@dataclass(frozen=True)
class Held:
    """What the answers of one artifact are held to: its task, its classes, and the data in them.

    ``problem`` says why it cannot be evaluated; nothing else counts then.
    """

    task: Task
    classes: int
    names: tuple[str, ...] = ()
    data: Matched | None = None
    problem: DeployBenchError | None = None


@dataclass(frozen=True)
class Eager:
    """The cell that stands for fp32 eager of a group of cells, or why there is none.

    ``stands_for`` says whose answers they are where an adopted file has no fp32 eager.
    """

    planned: Planned | None = None
    why_not: str = ""
    stands_for: str = ""


def cells_of(artifacts: Sequence[Artifact], asked: Asked) -> list[Planned]:
    """Every cell, each at its artifact's batch size; what cannot run here is planned as skipped."""
    planned: list[Planned] = []
    for artifact in artifacts:
        planned += plan_cells([artifact], asked.selection(artifact), None)
    running = {_without_batch(plan) for plan in planned if plan.skip is None}
    return [plan for plan in planned if plan.skip is None or _without_batch(plan) not in running]


def _without_batch(planned: Planned) -> tuple[object, ...]:
    """What the cell does: the size of a batch changes no answer."""
    cell = planned.cell
    return (*cell.group, cell.backend, cell.runner, cell.device, cell.precision)


def eager_of(
    group: Sequence[Planned], workspace: Workspace, asked: Asked, *, trust: bool, command: str
) -> Eager:
    """The fp32 eager cell of one group: one of its own, else one of the workspace's on the CPU.

    One that was not asked for is never trusted on the quiet: it takes the consent of the others.
    """
    if group[0].artifact.manifest.adopted is not None:
        return _first_file_of(group, workspace, asked, trust=trust, command=command)
    name = reference_runner()
    if name is None:
        return Eager(why_not="no runner here runs a model as its author wrote it")
    own = [cell for cell in group if cell.cell.runner == name]
    own = [cell for cell in own if cell.cell.precision == BASELINE_PRECISION]
    for cell in own:
        if cell.skip is None:
            return Eager(cell)
    entry = runners()[name]
    if entry.problem is not None:
        return Eager(why_not=f"{name} cannot be used here: {entry.problem}")
    reference = Asked([entry], [CPU], [BASELINE_PRECISION], asked.threads, asked.batch)
    candidates = cells_of(newest_artifacts(workspace), reference)
    fitting = [cell for cell in candidates if cell.cell.group == group[0].cell.group]
    if not fitting:
        return Eager(
            why_not=f"the workspace holds no {name} artifact of {group[0].cell.model} with these "
            "weights"
        )
    for cell in fitting:
        if cell.skip is None:
            try:
                check_planned([cell], trust=trust, command=command)
            except DeployBenchError as error:
                return Eager(why_not=error.found)
            return Eager(cell)
    return Eager(why_not=fitting[0].skip or "")


def _first_file_of(
    group: Sequence[Planned], workspace: Workspace, asked: Asked, *, trust: bool, command: str
) -> Eager:
    """In fp32 eager's place: the file that was adopted on its own runner, where something else is
    made of it (another format, another runner, a lower precision)."""
    why_not = f"{group[0].cell.model} was {ADOPTED}"
    own = [cell for cell in group if cell.skip is None and _is_first_file(cell)]
    if own and len(group) == 1:
        return Eager(why_not=why_not)
    if not own:
        for artifact in newest_artifacts(workspace):
            entry = runners().get(artifact.manifest.parity_runner or "")
            if entry is None or not entry.usable or artifact.manifest.adopted is None:
                continue
            reference = Asked([entry], [CPU], (), asked.threads, asked.batch)
            for cell in cells_of([artifact], reference):
                same = cell.cell.group == group[0].cell.group
                if same and cell.skip is None and _is_first_file(cell):
                    own.append(cell)
    for cell in own:
        try:
            check_planned([cell], trust=trust, command=command)
        except DeployBenchError as error:
            return Eager(why_not=error.found)
        return Eager(cell, stands_for=f"{cell.artifact.manifest.entry} on {cell.cell.runner}")
    return Eager(why_not=why_not)


def _is_first_file(planned: Planned) -> bool:
    """Whether the cell runs a file as it was adopted, not a conversion, on its format's runner."""
    manifest = planned.artifact.manifest
    as_it_was = manifest.adopted is not None and manifest.request.get("to") is None
    return as_it_was and planned.cell.runner == manifest.parity_runner


def held_to(
    artifact: Artifact,
    data: DataSet,
    asked: str | None,
    *,
    labelled: bool,
    given: bool,
    preprocessing: PreprocessingOptions | None = None,
) -> Held:
    """What the artifact's answers to the images of ``data`` are held to.

    ``asked`` is a task of the user's, ``given`` says that the classes were named in the model's
    order, ``preprocessing`` is what is said beyond the manifest about how images are read.
    """
    manifest = artifact.manifest
    shape = manifest.outputs[0].sizes(1)[1:]
    written = task_in(manifest)
    spec = manifest.preprocessing
    if preprocessing is not None:
        spec = preprocessing.applied_to(spec)
    try:
        check_prepared(manifest, spec)
        task = task_asked(asked, shape, written)
        if task.kind not in KINDS or task.scores == "values":
            raise DeployBenchError(
                f"{manifest.model.name}: {task.words}: there is no class that could be right",
                expected=f"a task among {', '.join(KINDS)}",
                action="--task multi_class, if the numbers are scores of classes",
            )
        classes = classes_of(artifact, task.scores, task.kind)
        labels = artifact.labels()
        if labels is not None and len(labels) != classes:
            labels = None
        if not labelled:
            return Held(task, classes, tuple(labels or ()))
        if data.task == "multi-label" and task.kind != "multi_label":
            raise DeployBenchError(
                f"{data.root} has any number of labels an image, and {manifest.model.name} is "
                f"{task.words}",
                expected="one task",
                action="--task multi_label, if each output is a label of its own",
            )
        found = matched(data, labels, classes, given=given)
    except DeployBenchError as error:
        return Held(written, 0, problem=error)
    return Held(task, classes, found.data.class_names, found)
