"""What a training tells its caller while it works: facts, nothing of their looks.

In this order: the reading of the data, the plan, and then steps, images that were evaluated, and a
line for each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploybench.training.curve import EpochLine


@dataclass(frozen=True)
class ImagesRead:
    """So many of the images were read to tell which data it is."""

    done: int
    images: int


@dataclass(frozen=True)
class TrainingPlanned:
    """What is about to be done; ``notes`` say what was decided and assumed. ``done`` of all
    ``steps`` were made before, by a training that was ended."""

    epochs: int
    steps: int
    done: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class StepMade:
    """A step of the optimizer; ``epoch`` counts from 1, ``step`` is of all steps, from 1."""

    epoch: int
    step: int
    loss: float
    images_per_second: float


@dataclass(frozen=True)
class Evaluating:
    """So many images of the evaluation after an epoch are done with."""

    epoch: int
    done: int
    images: int


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is over."""

    line: EpochLine


@dataclass(frozen=True)
class Remarked:
    """Something was found that the user should know, once."""

    words: str


@dataclass(frozen=True)
class TrainingInterrupted:
    """The training was asked to stop, and did so after a step; it can go on from there."""

    folder: Path
    epoch: int
    step: int


TrainingEvent = (
    ImagesRead
    | TrainingPlanned
    | StepMade
    | Evaluating
    | EpochEnded
    | Remarked
    | TrainingInterrupted
)
