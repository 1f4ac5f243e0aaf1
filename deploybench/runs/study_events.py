"""What a study tells its caller while it works, beside what the trainings, exports, evaluations and
runs in it tell."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.evaluate.events import EvaluationEvent
from deploybench.export.order import ExportEvent
from deploybench.results.study import Failure, Stage
from deploybench.runs.events import RunEvent
from deploybench.training.events import TrainingEvent


@dataclass(frozen=True)
class StudyImagesRead:
    """So many of the images were read to tell which data it is."""

    done: int
    images: int


@dataclass(frozen=True)
class StudyRemarked:
    """Something was decided, or found to be there already, that the user should know."""

    words: str


@dataclass(frozen=True)
class StageBegun:
    """A model, the ``number``-th of ``count``, is about to be trained, exported or evaluated."""

    model: str
    stage: Stage
    number: int
    count: int


@dataclass(frozen=True)
class TrainingKnown:
    """A model was trained before, by an earlier call."""

    model: str
    epochs: int


@dataclass(frozen=True)
class StageFailed:
    """Something could not be done of a model; the others go on."""

    model: str
    failure: Failure


StudyStep = StudyImagesRead | StudyRemarked | StageBegun | TrainingKnown | StageFailed
StudyEvent = StudyStep | TrainingEvent | ExportEvent | EvaluationEvent | RunEvent
