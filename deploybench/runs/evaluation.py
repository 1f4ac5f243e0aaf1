"""A whole evaluation by one call: what is asked for, and carrying it out. Needs no command line."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploybench.artifacts.acceptance import check_drop, check_reduced
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.children.processes import allow_children, stop_children
from deploybench.contracts.registry import recorded_distributions
from deploybench.data.dataset import DataSet
from deploybench.data.options import ColumnUse, Uncertain
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.events import (
    CellEvaluated,
    DataRead,
    EvaluationEvent,
    EvaluationPlanned,
)
from deploybench.evaluate.job import DataRequest
from deploybench.evaluate.predicting import Images, Predicting
from deploybench.export.order import ExportEvent, export_requests
from deploybench.export.pipeline import ExportOptions, check_model_names, default_jobs
from deploybench.export.request import ExportResult
from deploybench.hardware.devices import CPU, read_device
from deploybench.hardware.host import check_present, describe_host
from deploybench.hardware.pinning import AUTO as PIN_AUTO
from deploybench.hardware.pinning import Pin, pinning_of, thread_budget
from deploybench.hardware.precisions import check_precision
from deploybench.hardware.profile import HOST
from deploybench.models.source import expand_groups
from deploybench.plan.acceptance import loosest_of
from deploybench.plan.cells import Planned, Selection, Sizes
from deploybench.plan.consent import check_planned, trusting_command
from deploybench.plan.selection import nothing_to_run, select_artifacts, select_runners
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.results.store import new_run_name
from deploybench.results.verdict import Verdict
from deploybench.runs.evaluating import Evaluating
from deploybench.runs.evaluation_plan import (
    DEFAULT_BATCH,
    Asked,
    Eager,
    cells_of,
    eager_of,
    held_to,
)
from deploybench.runs.missing import missing_exports
from deploybench.runs.records import failed_export_record
from deploybench.runs.settings import RunContext

Tell = Callable[[EvaluationEvent | ExportEvent], None]


@dataclass(frozen=True)
class EvaluationRequest:
    """What is to be evaluated on which images. The defaults are those of ``deploybench evaluate``.

    Raises DeployBenchError for a value that no evaluation can use.
    """

    data: Path
    """A folder or a file of images: see :func:`deploybench.data.opening.open_data`."""
    split: str | None = None
    """One split of the data by name; None: all images."""
    class_names: Sequence[str] | None = None
    """The classes of the data in the order of the model's outputs."""
    uncertain: Uncertain | None = None
    """What a label that says *uncertain* counts as; None: as for :func:`open_data`."""
    columns: Mapping[ColumnUse, str] = field(default_factory=dict)
    """Which column of a table is which, where its name does not say so."""
    unlabelled: bool = False
    """Whether the labels are left aside: then only the agreement with fp32 eager is told."""
    models: Sequence[str] = ()
    """Names of models or of groups; what is missing of them is exported first. Empty: all that are
    in the workspace."""
    artifacts: Sequence[Path] = ()
    """Artifact folders, or their short names, instead of models."""
    runners: Sequence[str] = ()
    """By name; empty: all that work on the devices of this host."""
    devices: Sequence[str] = ()
    """``cpu``, ``cuda``, ``cuda:1``; empty: the CPU."""
    precisions: Sequence[str] = ()
    """To compute in; empty: each artifact's own."""
    batch: int = DEFAULT_BATCH
    """Images a call, of artifacts whose batch size is free."""
    threads: int | None = None
    """Of the runtime, and as many that read images; None: the usable cores, or those of ``pin``."""
    pin: Pin = PIN_AUTO
    """The CPUs that the processes are kept on, as in :class:`~deploybench.runs.request.RunRequest`.
    """
    task: str | None = None
    """What the main output means, instead of what the artifact says."""
    preprocessing: PreprocessingOptions | None = None
    """What is said beyond the manifest about how images are read."""
    only: Callable[[Cell], bool] | None = None
    """Which of the cells that all this makes are evaluated; None: every one."""
    compare: bool = True
    """Whether each cell is held against fp32 eager on the same images."""
    max_accuracy_drop: float | None = None
    """Where a reduced precision fails parity: the drop of accuracy beside fp32 eager by which the
    cell is accepted all the same (0.01: a percentage point). None: by none."""
    fresh: bool = False
    """Whether predictions that an earlier evaluation left are made again."""
    seed: int = 0
    """Of the bootstrap."""
    trust: bool = False
    """Whether the user answers for artifacts that were not made here."""
    workspace: Path | None = None
    """The folder of artifacts, predictions and records; None: $DEPLOYBENCH_WORKSPACE, else
    ./deploybench-workspace."""

    def __post_init__(self) -> None:
        for precision in self.precisions:
            check_precision(precision)
        if self.batch < 1 or (self.threads is not None and self.threads < 1):
            raise DeployBenchError(
                f"a batch of {self.batch} with {self.threads} threads",
                expected="whole numbers from 1 on",
            )
        check_drop(self.max_accuracy_drop)
        if self.max_accuracy_drop is not None and (self.unlabelled or not self.compare):
            raise DeployBenchError(
                "--accept-by accuracy without labels or without fp32 eager",
                expected="labelled images, on which both are right or wrong",
                action="leave out --unlabelled and --no-eager",
            )

    @property
    def data_request(self) -> DataRequest:
        """The data as a process opens it, wherever it is started."""
        names = None if self.class_names is None else tuple(self.class_names)
        return DataRequest(
            path=str(self.data.absolute()),
            split=self.split,
            class_names=names,
            uncertain=self.uncertain,
            unlabelled=self.unlabelled,
            columns=dict(self.columns),
        )


@dataclass(frozen=True)
class EvaluationResult:
    """One record a cell. They also lie in ``folder``; ``cut_short`` is what ended it early."""

    run: str
    folder: Path
    data: DataSet
    records: tuple[Record, ...]
    cut_short: KeyboardInterrupt | DeployBenchError | None = None

    @property
    def failed(self) -> bool:
        """Whether any cell broke or was wrong, or any image could not be read."""
        bad = (Verdict.FAILED, Verdict.INVALID)
        if any(record.judgement.verdict in bad for record in self.records):
            return True
        qualities = [record.quality for record in self.records]
        return any(quality is not None and quality.failed_count for quality in qualities)


def carry_out_evaluation(
    request: EvaluationRequest, on_event: Tell | None = None
) -> EvaluationResult:
    """Evaluate every artifact on every runner, each in a process of its own, and record each.

    With labels: figures with intervals, and the difference to fp32 eager paired by image. Without:
    the agreement with fp32 eager. What an evaluation that was ended has predicted is not predicted
    again. ``on_event`` is told of the progress.

    Raises DeployBenchError for data that is none, for classes that do not go together, and for what
    cannot be run here, before anything is evaluated. A cell that fails raises nothing: its record
    says why.
    """
    allow_children()
    tell = on_event or _ignore
    data = request.data_request.open()
    labelled = data.labelled and bool(data.class_names) and not request.unlabelled
    if labelled:
        check_metrics()
    elif request.max_accuracy_drop is not None:
        raise DeployBenchError(
            f"--accept-by accuracy, and {data.root} has no labels",
            expected="labelled images: how many answers are right is what decides",
        )
    threads = thread_budget(request.threads, request.pin)
    pinning = pinning_of(request.pin, threads)
    host = describe_host(recorded_distributions())
    devices = [read_device(name) for name in request.devices] or [CPU]
    check_present(devices, host)
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    context = RunContext(
        run=new_run_name(),
        profile=HOST,
        workspace=workspace,
        host=host,
        peaks=None,
        threads=threads,
        devices=tuple(devices),
        measures="quality",
    )
    asked = Asked(
        runners=select_runners(request.runners, devices),
        devices=devices,
        precisions=request.precisions,
        threads=threads,
        batch=request.batch,
    )
    artifacts, not_exported = _artifacts(request, workspace, asked, tell)
    planned = cells_of(artifacts, asked)
    if request.only is not None:
        planned = [plan for plan in planned if request.only(plan.cell)]
    records = [failed_export_record(result, context, artifacts) for result in not_exported]
    if not planned and not records:
        raise nothing_to_run(artifacts, asked.selection(artifacts[0]))
    command = trusting_command("evaluate", request.artifacts, workspace=request.workspace)
    check_planned(planned, trust=request.trust, command=command)
    if request.max_accuracy_drop is not None:
        check_reduced([loosest_of(cell) for cell in planned if cell.skip is None], "evaluate")

    eager: dict[tuple[str | int, ...], Eager] = {}
    for group in dict.fromkeys(cell.cell.group for cell in planned):
        cells = [cell for cell in planned if cell.cell.group == group]
        eager[group] = Eager(why_not="not asked for")
        if request.compare:
            eager[group] = eager_of(cells, workspace, asked, trust=request.trust, command=command)
    if not labelled and all(one.planned is None for one in eager.values()):
        expected = "labels, or a pytorch artifact of the same model and weights"
        action: str | None = "deploybench export --model NAME --backend pytorch"
        if all(cell.artifact.manifest.adopted is not None for cell in planned):
            expected, action = "labels: the answers of an adopted file are held to them alone", None
        raise DeployBenchError(
            f"{data.root} has no labels, and there is no fp32 eager to agree with: "
            f"{next(iter(eager.values())).why_not}",
            expected=expected,
            action=action,
        )
    ordered = _eager_first(planned, eager)
    given = request.class_names is not None
    held = {
        cell.artifact.path: held_to(
            cell.artifact,
            data,
            request.task,
            labelled=labelled,
            given=given,
            preprocessing=request.preprocessing,
        )
        for cell in ordered
    }
    problems = [one.problem for one in held.values() if one.problem is not None]
    if problems and len(problems) == len(held):
        raise problems[0]
    sha256 = data.sha256(lambda done: tell(DataRead(done, len(data))))
    tell(EvaluationPlanned(tuple(ordered), len(data), data.notes, pinning))
    common = Predicting(
        images=Images(request.data_request, sha256, len(data)),
        workspace=workspace,
        host=host,
        threads=threads,
        preprocessing=request.preprocessing,
        pin=pinning.cpus_for(devices[0]),
        fresh=request.fresh,
        by_accuracy=request.max_accuracy_drop is not None,
    )
    evaluating = Evaluating(
        data=data,
        split=request.split,
        labelled=labelled,
        held=held,
        eager=eager,
        common=common,
        context=context,
        seed=request.seed,
        max_drop=request.max_accuracy_drop,
        tell=tell,
    )
    cut_short: KeyboardInterrupt | DeployBenchError | None = None
    try:
        for cell in ordered:
            record = evaluating.record_of(cell)
            records.append(record)
            tell(CellEvaluated(record))
    except KeyboardInterrupt as interrupt:
        stop_children()
        cut_short = interrupt
    except DeployBenchError as error:
        cut_short = error
    folder = workspace.records_folder / context.run
    return EvaluationResult(context.run, folder, data, tuple(records), cut_short)


def check_metrics() -> None:
    """Raise DeployBenchError where scikit-learn is not installed."""
    if importlib.util.find_spec("sklearn") is None:
        raise DeployBenchError(
            "scikit-learn is not installed: it computes the figures",
            expected="the module sklearn",
            action='pip install "deploybench[accuracy]"; without labels (--unlabelled) it is not '
            "needed",
        )


def _artifacts(
    request: EvaluationRequest, workspace: Workspace, asked: Asked, tell: Tell
) -> tuple[list[Artifact], list[ExportResult]]:
    """The artifacts to evaluate, after the export of what is missing; and what failed to export."""
    models = expand_groups(request.models)
    failed: list[ExportResult] = []
    if not request.artifacts and models:
        selection = Selection(
            asked.runners, [1], request.precisions, asked.threads, devices=asked.devices
        )
        missing = missing_exports(models, workspace, selection, Sizes())
        if missing:
            check_model_names(list(dict.fromkeys(request.model.name for request in missing)))
            results = export_requests(missing, workspace, ExportOptions(jobs=default_jobs()), tell)
            failed = [result for result in results if result.artifact is None]
    artifacts = select_artifacts(
        workspace, models, request.artifacts, Sizes(), explained=bool(failed)
    )
    return artifacts, failed


def _eager_first(
    planned: Sequence[Planned], eager: dict[tuple[str | int, ...], Eager]
) -> list[Planned]:
    """Group by group, the cell that stands for fp32 eager first."""
    ordered: list[Planned] = []
    for group, chosen in eager.items():
        cells = [cell for cell in planned if cell.cell.group == group]
        first = chosen.planned
        if first is not None:
            cells = [first, *(cell for cell in cells if cell.cell.key != first.cell.key)]
        ordered += cells
    return ordered


def _ignore(event: EvaluationEvent | ExportEvent) -> None:
    return
