"""One training of a study: gone on with, done, or found done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploybench.errors import DeployBenchError
from deploybench.results.study import Trained
from deploybench.runs.study_events import StudyEvent, TrainingKnown
from deploybench.training.apart import train_apart
from deploybench.training.folder import TrainingRecord, read_record
from deploybench.training.request import TrainingRequest

TrainModel = Callable[[TrainingRequest, Callable[[StudyEvent], None]], Trained]
"""Trains as the request says, or finds it done; raises as
:func:`deploybench.training.apart.train_apart` does."""


def trained_apart(request: TrainingRequest, tell: Callable[[StudyEvent], None]) -> Trained:
    """Train in a process of its own, unless the folder holds the whole training."""
    record = read_record(request.out)
    if record is not None and record.finished:
        tell(TrainingKnown(request.model, record.epochs_made))
        return trained_of(request.out, record)
    train_apart(request, tell)
    record = read_record(request.out)
    if record is None or not record.finished:
        raise DeployBenchError(
            f"the training of {request.model} left nothing finished in {request.out}",
            action="the same command goes on with it",
        )
    return trained_of(request.out, record)


def trained_of(folder: Path, record: TrainingRecord) -> Trained:
    """The training as the study's rows tell it."""
    return Trained(
        folder=str(folder),
        checkpoint=str(folder / "model.safetensors"),
        recipe=record.plan.recipe.words,
        epochs=record.epochs_made,
        best_epoch=record.best_epoch,
        seconds=record.seconds,
        stopped_early=record.stopped_early,
        init_from=record.init_from,
    )
