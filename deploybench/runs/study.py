"""A whole study by one call: every model trained alike, exported, evaluated and measured. Needs no
command line.

What an earlier call has done is not done again: a training is found by what decides its weights, an
artifact by its key, a prediction by its journal, and times by a run of the workspace that holds
every cell. A model of which something fails is told with the reason, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.children.processes import allow_children, stop_children
from deploybench.contracts import Runner
from deploybench.contracts.registry import (
    Entry,
    exporters,
    recorded_distributions,
    reference_runner,
)
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.export.order import ExportEvent, export_requests
from deploybench.export.pipeline import ExportOptions, check_model_names, default_jobs
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.hardware.devices import CPU, read_device
from deploybench.hardware.host import Host, check_present, describe_host
from deploybench.hardware.pinning import thread_budget
from deploybench.plan.cells import Selection
from deploybench.plan.selection import select_runners
from deploybench.results.record import Record
from deploybench.results.study import Failure, Stage, StudiedModel, Trained
from deploybench.results.verdict import Verdict
from deploybench.runs.evaluation import (
    EvaluationRequest,
    carry_out_evaluation,
    check_metrics,
)
from deploybench.runs.missing import FP32, exports_for
from deploybench.runs.request import RunRequest, carry_out
from deploybench.runs.study_data import StudyData, study_data
from deploybench.runs.study_events import (
    StageBegun,
    StageFailed,
    StudyEvent,
    StudyImagesRead,
    StudyRemarked,
)
from deploybench.runs.study_request import StudyModel, StudyRequest, training_folder
from deploybench.runs.study_times import times_of
from deploybench.runs.study_training import TrainModel, trained_apart
from deploybench.training.request import TrainingRequest

TRAINED = "trained"
"""The folder of a workspace for the trainings of studies."""
GO_ON = "the same command goes on from here"

Tell = Callable[[StudyEvent], None]


@dataclass(frozen=True)
class StudyResult:
    """What is known of each model, with the records of its cells: of their time, and of their
    answers. ``cut_short`` is what ended the study early; what was done until then is in it."""

    models: tuple[StudiedModel, ...]
    timed: tuple[Record, ...]
    evaluated: tuple[Record, ...]
    data: StudyData
    cut_short: KeyboardInterrupt | DeployBenchError | None = None

    @property
    def failed(self) -> bool:
        """Whether anything of any model failed."""
        if any(model.failures for model in self.models):
            return True
        bad = (Verdict.FAILED, Verdict.INVALID)
        records = (*self.timed, *self.evaluated)
        return any(record.judgement.verdict in bad for record in records)


@dataclass(frozen=True)
class _Study:
    """What all models of a study have in common."""

    request: StudyRequest
    workspace: Workspace
    data: StudyData
    selection: Selection
    host: Host
    train: TrainModel
    tell: Tell


@dataclass
class _Progress:
    """What is known of a model so far."""

    model: StudyModel
    stage: Stage = "training"
    begun: bool = False
    trained: Trained | None = None
    artifacts: tuple[Artifact, ...] = ()
    failures: tuple[Failure, ...] = ()
    records: tuple[Record, ...] = ()

    def document(self) -> StudiedModel:
        return StudiedModel(
            title=self.model.name,
            name=self.model.name,
            image_size=self.model.image_size,
            patch_size=self.model.patch_size,
            trained=self.trained,
            artifact_keys=tuple(artifact.manifest.key for artifact in self.artifacts),
            failures=self.failures,
        )


def carry_out_study(
    request: StudyRequest,
    on_event: Tell | None = None,
    train: TrainModel = trained_apart,
) -> StudyResult:
    """Train, export and evaluate one model after the other, then measure all of them in one run.

    ``on_event`` is told of the progress; ``train`` does a training. What ends the study while
    models are worked on (KeyboardInterrupt, a disk that is full) is in the result, with what was
    done.

    Raises DeployBenchError for what cannot be studied here, before anything is trained.
    """
    allow_children()
    tell = on_event or _ignore
    check_metrics()
    host = describe_host(recorded_distributions())
    devices = [read_device(name) for name in request.devices] or [CPU]
    check_present(devices, host)
    selection = Selection(
        runners=select_runners(request.runners, devices),
        batches=[1],
        precisions=request.precisions or (FP32,),
        threads=thread_budget(request.threads, request.pin),
        devices=devices,
    )
    _check_backends(request.backends, selection.runners)
    check_model_names([model.name for model in request.models])
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    data = study_data(request, workspace, lambda done, images: tell(StudyImagesRead(done, images)))
    for note in data.notes:
        tell(StudyRemarked(note))
    study = _Study(request, workspace, data, selection, host, train, tell)

    progress = [_Progress(model) for model in request.models]
    cut_short: KeyboardInterrupt | DeployBenchError | None = None
    timed: tuple[Record, ...] = ()
    try:
        for number, model in enumerate(progress, start=1):
            _prepare(model, number, study)
        timed, cut_short = _measured(progress, study)
    except KeyboardInterrupt as interrupt:
        stop_children()
        cut_short = interrupt
        _note_interrupt(progress)
    return StudyResult(
        models=tuple(model.document() for model in progress),
        timed=timed,
        evaluated=tuple(record for model in progress for record in model.records),
        data=data,
        cut_short=cut_short,
    )


def _check_backends(names: Sequence[str], runners: Sequence[Entry[Runner]]) -> None:
    """Refuse backends that nobody knows, or that nothing here would run."""
    run_here: set[str] = set()
    for entry in runners:
        if entry.plugin is not None:
            run_here |= set(entry.plugin.formats)
    for name in names:
        if name not in exporters():
            raise unknown_name("backend", name, exporters())
        if name not in run_here:
            raise DeployBenchError(
                f"--backend {name}, and no runner of this study runs it",
                expected=f"among {', '.join(sorted(run_here & exporters().keys()))}",
                action="deploybench backends says what runs it",
            )


def _prepare(model: _Progress, number: int, study: _Study) -> None:
    """Train, export and evaluate one model, as far as it goes."""
    count = len(study.request.models)
    steps: tuple[tuple[Stage, Callable[[_Progress, _Study], None]], ...] = (
        ("training", _train),
        ("export", _export),
        ("evaluation", _evaluate),
    )
    for stage, work in steps:
        model.stage = stage
        model.begun = True
        study.tell(StageBegun(model.model.name, stage, number, count))
        try:
            work(model, study)
        except DeployBenchError as error:
            _fail(model, error, study)
            return


def _fail(model: _Progress, error: DeployBenchError, study: _Study) -> None:
    advice = "; ".join(part for part in (error.expected, error.action) if part)
    failure = Failure(stage=model.stage, reason=error.found, advice=advice)
    model.failures = (*model.failures, failure)
    study.tell(StageFailed(model.model.name, failure))


def _train(model: _Progress, study: _Study) -> None:
    request = study.request
    asked = model.model
    folder = training_folder(study.workspace.root / TRAINED, asked, request, study.data.sha256)
    opened = study.data.request
    training = TrainingRequest(
        model=asked.name,
        data=Path(opened.path),
        out=folder.absolute(),
        recipe=request.recipe_of(asked),
        train_split=request.train_split,
        eval_split=request.eval_split,
        class_names=opened.class_names,
        uncertain=opened.uncertain,
        columns=opened.columns,
        init_from=asked.init_from,
        image_size=asked.image_size,
        in_channels=request.in_channels,
        patch_size=asked.patch_size,
        seed=request.seed,
        device=request.train_device,
        devices=request.train_devices,
        workers=request.workers,
        resume=True,
    )
    model.trained = study.train(training, study.tell)


def _export(model: _Progress, study: _Study) -> None:
    """Every format that the runners need, and what fp32 eager runs: the others are held to it."""
    if model.trained is None:
        return
    checkpoint = str(Path(model.trained.folder).absolute())
    named = ModelRequest(
        name=model.model.name,
        checkpoint=checkpoint,
        image_size=model.model.image_size,
        patch_size=model.model.patch_size,
        in_channels=study.request.in_channels,
    )
    wanted = exports_for([named], study.selection)
    if study.request.backends:
        wanted = [one for one in wanted if one.backend in study.request.backends]
    options = ExportOptions(jobs=default_jobs())
    eager = _eager_exports(named, wanted)
    results = export_requests([*wanted, *eager], study.workspace, options, study.tell)
    shown = [result for result in results if result.request in wanted]
    model.artifacts = tuple(one.artifact for one in shown if one.artifact is not None)
    for result in results:
        if result.artifact is None:
            failure = _export_failure(result)
            model.failures = (*model.failures, failure)
            study.tell(StageFailed(model.model.name, failure))
    if not model.artifacts:
        raise DeployBenchError("no format could be exported", action="the reasons stand beside it")


def _eager_exports(model: ModelRequest, wanted: Sequence[ExportRequest]) -> list[ExportRequest]:
    """What fp32 eager needs beyond what is wanted; nothing where eager cannot run here."""
    name = reference_runner()
    if name is None:
        return []
    try:
        entries = select_runners([name])
    except DeployBenchError:
        return []
    needed = exports_for([model], Selection(entries, [1], (FP32,), 1, devices=[CPU]))
    return [one for one in needed if one not in wanted]


def _export_failure(result: ExportResult) -> Failure:
    reason, advice = "it failed", f"reproduce: {result.request.command()}"
    if result.error is not None:
        reason = result.error.found
        advice = result.error.action or advice
    return Failure(stage="export", reason=reason, advice=advice, backend=result.request.backend)


def _evaluate(model: _Progress, study: _Study) -> None:
    request = study.request
    opened = study.data.request
    evaluation = EvaluationRequest(
        data=Path(opened.path),
        split=study.data.test_split,
        class_names=opened.class_names,
        uncertain=opened.uncertain,
        columns=opened.columns,
        artifacts=[artifact.path for artifact in model.artifacts],
        runners=request.runners,
        devices=request.devices,
        precisions=request.precisions,
        threads=request.threads,
        pin=request.pin,
        workspace=study.workspace.root,
    )
    result = carry_out_evaluation(evaluation, study.tell)
    # fp32 eager may be there only to be compared with.
    keys = {artifact.manifest.key for artifact in model.artifacts}
    model.records = tuple(one for one in result.records if one.cell.artifact_key in keys)
    if result.cut_short is not None:
        raise result.cut_short


def _measured(
    progress: Sequence[_Progress], study: _Study
) -> tuple[tuple[Record, ...], KeyboardInterrupt | DeployBenchError | None]:
    """The times of all cells, of one run: what is ordered by time was measured side by side."""
    artifacts = [artifact for model in progress for artifact in model.artifacts]
    if not artifacts:
        return (), None
    request = study.request
    if not request.measure_again:
        known = times_of(artifacts, study.selection, study.workspace, study.host)
        if known is not None:
            words = "every cell was measured before, in the run"
            study.tell(StudyRemarked(f"{words} {known[0].run}: --measure-again does it again"))
            return tuple(known), None
    run = RunRequest(
        artifacts=[artifact.path for artifact in artifacts],
        runners=request.runners,
        devices=request.devices,
        precisions=request.precisions,
        threads=request.threads,
        pin=request.pin,
        precision_target=request.precision_target,
        budget_s=request.budget_s,
        workspace=study.workspace.root,
    )
    try:
        result = carry_out(run, study.tell)
    except DeployBenchError as error:
        for model in progress:
            if model.artifacts:
                model.stage = "measuring"
                _fail(model, error, study)
        return (), None
    return result.records, result.cut_short


def _note_interrupt(progress: Sequence[_Progress]) -> None:
    """Of the models that are not done: how far they are."""
    for model in progress:
        if model.records or model.failures:
            continue
        words = "interrupted before its training"
        if model.begun:
            words = f"interrupted during its {model.stage}"
        failure = Failure(stage=model.stage, reason=words, advice=GO_ON, interrupted=True)
        model.failures = (*model.failures, failure)


def _ignore(event: StudyEvent | ExportEvent) -> None:
    return
