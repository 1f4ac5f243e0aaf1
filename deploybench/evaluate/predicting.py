"""The parent's side of an evaluation: one process a cell, watched by what it writes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.predicted import ARTIFACT, FILES, LIES_AT, LOCK
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import ChildOutcome, run_child, stop_children
from deploybench.contracts import Runner
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import DataRequest, EvaluationJob
from deploybench.evaluate.journal import PROOF, Journal, Predictions
from deploybench.evaluate.worker import numbers_of
from deploybench.files import slug, write_whole
from deploybench.hardware.devices import BUS_ORDER
from deploybench.hardware.host import Host, gpu_of
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.versions import installed_versions

WORKER = "deploybench.evaluate.worker"
LONGEST_S = 20 * 24 * 3600.0
"""The worker itself ends when it is silent for long; how long many images take nobody knows."""
LOOK_EVERY_S = 0.2
KEY_LETTERS = 16


@dataclass(frozen=True)
class Images:
    """The data as the worker opens it, with what identifies it."""

    request: DataRequest
    sha256: str
    count: int


@dataclass(frozen=True)
class Predicting:
    """What all cells of one evaluation have in common."""

    images: Images
    workspace: Workspace
    host: Host
    threads: int
    preprocessing: PreprocessingOptions | None = None
    pin: tuple[int, ...] = ()
    fresh: bool = False
    by_accuracy: bool = False


@dataclass(frozen=True)
class Predicted:
    """What the worker said that made the last of the predictions, and all of them."""

    launch: Launch
    predictions: Predictions


def journal_of(planned: Planned, common: Predicting) -> Journal:
    """Where the predictions of a cell lie: in a folder of their own for this artifact, runner,
    precision, device, preprocessing, runtime and data."""
    identity = identity_of(planned, common)
    text = json.dumps(identity, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]
    cell = planned.cell
    name = f"{slug(cell.model)}-{cell.runner}-{cell.precision}-{key}"
    folder = common.workspace.evaluations_folder / name
    return Journal(folder, numbers_of(planned.artifact))


def identity_of(planned: Planned, common: Predicting) -> dict[str, object]:
    """All that decides what is predicted."""
    cell = planned.cell
    spec = planned.artifact.manifest.preprocessing
    if common.preprocessing is not None:
        spec = common.preprocessing.applied_to(spec)
    gpu = gpu_of(cell.device, common.host)
    return {
        "model": cell.model,
        ARTIFACT: cell.artifact_key,
        FILES: planned.artifact.manifest.content_sha256,
        "runner": cell.runner,
        "device": cell.device,
        "processor": common.host.cpu_model if gpu is None else gpu.name,
        "precision": cell.precision,
        "preprocessing": spec.model_dump(mode="json"),
        "versions": installed_versions(_distributions(cell.runner)),
        "data": common.images.sha256,
    }


def predict_cell(
    planned: Planned,
    common: Predicting,
    *,
    started: Callable[[int], None] = lambda done: None,
    seen: Callable[[int], None] = lambda done: None,
) -> Predicted:
    """Predict the images that the cell's journal lacks, in a fresh process.

    ``started`` is told how many are there already, ``seen`` how many are now and then. Raises
    DeployBenchError where another process evaluates the same, and KeyboardInterrupt: what was
    predicted until then stays.
    """
    journal = journal_of(planned, common)
    said = {**identity_of(planned, common), LIES_AT: str(planned.artifact.path.resolve())}
    journal.prepare(said, fresh=False)
    lock = FileLock(journal.folder / LOCK)
    try:
        with lock.acquire(timeout=0):
            journal.prepare(said, fresh=common.fresh)
            before = journal.read()
            started(before.count)
            launch = None
            if before.count == common.images.count:
                launch = _proved(journal)
            if launch is None:
                launch = _worked(planned, common, journal, seen)
            return Predicted(launch, journal.read())
    except Timeout:
        raise DeployBenchError(
            f"another process evaluates {planned.cell.title()} on the same data",
            expected="one at a time",
            action="wait until it is done: what it predicts is kept",
        ) from None


def job_of(planned: Planned, common: Predicting, folder: Path) -> EvaluationJob:
    cell = planned.cell
    return EvaluationJob(
        artifact=str(planned.artifact.path),
        runner=cell.runner,
        device=cell.device,
        precision=cell.precision,
        batch=cell.batch,
        threads=cell.threads,
        readers=common.threads,
        data=common.images.request,
        images=common.images.count,
        preprocessing=common.preprocessing,
        folder=str(folder),
        pin=common.pin,
        by_accuracy=common.by_accuracy,
    )


def _worked(
    planned: Planned, common: Predicting, journal: Journal, seen: Callable[[int], None]
) -> Launch:
    """Run the worker in a thread of this process, and look meanwhile at what it writes."""
    job = job_of(planned, common, journal.folder.resolve())
    threads = str(job.threads)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, **BUS_ORDER}
    outcomes: list[ChildOutcome | DeployBenchError] = []

    def work() -> None:
        try:
            outcomes.append(
                run_child(
                    WORKER,
                    job.model_dump_json(),
                    time_limit_s=LONGEST_S,
                    environment=environment,
                    cpus=job.pin,
                )
            )
        except DeployBenchError as error:
            outcomes.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(LOOK_EVERY_S)
            seen(journal.done())
    except KeyboardInterrupt:
        stop_children()
        thread.join()
        raise
    (outcome,) = outcomes
    if isinstance(outcome, DeployBenchError):
        raise outcome
    if outcome.reply is None:
        return Launch(error=outcome.error or "the worker said nothing")
    launch = Launch.model_validate_json(outcome.reply)
    if launch.error is None and launch.refused is None:
        write_whole(journal.folder / PROOF, launch.model_dump_json())
    return launch


def _proved(journal: Journal) -> Launch | None:
    """What the worker showed that made the last predictions; None where it was killed before."""
    try:
        return Launch.model_validate_json((journal.folder / PROOF).read_bytes())
    except (OSError, ValidationError):
        return None


def _distributions(name: str) -> tuple[str, ...]:
    from deploybench.contracts.registry import runners

    plugin: Runner | None = runners()[name].plugin
    return () if plugin is None else plugin.distributions


def classes_of(artifact: Artifact, scores: str, kind: str) -> int:
    """How many classes the main output is about."""
    numbers = numbers_of(artifact)
    if scores == "classes":
        return artifact.manifest.model.num_classes
    if kind == "binary" and numbers == 1:
        return 2
    return numbers
