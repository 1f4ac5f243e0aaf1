"""What a tuning tells its caller while it works, beside what the exports, evaluations and runs in
it tell."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.evaluate.events import EvaluationEvent
from deploybench.export.order import ExportEvent
from deploybench.runs.events import RunEvent


@dataclass(frozen=True)
class TuneRemarked:
    """Something was decided, or found to be there already, that the user should know."""

    words: str


@dataclass(frozen=True)
class TuneImagesRead:
    """So many of the images were read to tell which data it is."""

    done: int
    images: int


@dataclass(frozen=True)
class RoundBegun:
    """A round of measuring begins: so many configurations get ``seconds`` each."""

    number: int
    count: int
    seconds: float


@dataclass(frozen=True)
class RoundEnded:
    """A round is over: ``kept`` of ``count`` go on; ``best`` leads, in words."""

    number: int
    count: int
    kept: int
    best: str


TuneEvent = (
    TuneRemarked
    | TuneImagesRead
    | RoundBegun
    | RoundEnded
    | ExportEvent
    | EvaluationEvent
    | RunEvent
)
