"""What an evaluation tells its caller while it works: facts, nothing of their looks.

In this order: the exports that are missing (if any), the reading of the data, the plan, and then
the cells one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.hardware.pinning import UNPINNED, Pinning
from deploybench.plan.cells import Planned
from deploybench.results.record import Record


@dataclass(frozen=True)
class DataRead:
    """So many of the images were read to tell which data it is."""

    done: int
    images: int


@dataclass(frozen=True)
class EvaluationPlanned:
    """These cells see ``images`` images each; ``notes`` say what was decided about the data."""

    cells: tuple[Planned, ...]
    images: int
    notes: tuple[str, ...] = ()
    pinning: Pinning = UNPINNED


@dataclass(frozen=True)
class CellStarted:
    """A cell begins; ``done`` of its images were seen before, by an evaluation that was ended."""

    planned: Planned
    done: int
    images: int


@dataclass(frozen=True)
class ImagesSeen:
    """So many images of the cell are done with."""

    planned: Planned
    done: int


@dataclass(frozen=True)
class CellEvaluated:
    """A cell is over; its record lies on disk."""

    record: Record


EvaluationEvent = DataRead | EvaluationPlanned | CellStarted | ImagesSeen | CellEvaluated
