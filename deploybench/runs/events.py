"""What a run tells its caller while it works: a small closed set of facts, nothing of their looks.

In this order: the exports that are missing (if any), who else is measuring (if anybody), the peaks
of the CPU (if cells run on it), the search for the batch sizes (if asked for), the plan, and then
launches, visits and records in turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deploybench.analysis.visit_progress import VisitWidths
from deploybench.export.order import ExportFinished, ExportsPlanned, ExportStarted
from deploybench.hardware.pinning import UNPINNED, Pinning
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.plan.cells import Planned
from deploybench.results.record import Record
from deploybench.telemetry.alone import WaitingForOther


@dataclass(frozen=True)
class PeaksMeasured:
    """What the CPU of this host can do at most; None where it could not be measured."""

    peaks: MeasuredPeaks | None


@dataclass(frozen=True)
class SweepStarted:
    """One short launch a batch size tells how far the sweep of this cell goes."""

    planned: Planned


@dataclass(frozen=True)
class RunPlanned:
    """These cells will be launched or are skipped; their records go into ``folder``.

    ``idle_runners`` were named and have no cell: no artifact is in a format that they run.
    ``pinning`` says on which CPUs the processes of cells on the CPU are kept.
    """

    cells: tuple[Planned, ...]
    folder: Path
    idle_runners: tuple[str, ...] = ()
    pinning: Pinning = UNPINNED


@dataclass(frozen=True)
class LaunchStarted:
    """A cell is launched in the round of that number, the first of which is 0."""

    planned: Planned
    round: int


@dataclass(frozen=True)
class CellLook:
    """How far a cell is: what its ``visits`` to ``processes`` processes tell by now.

    ``ended``: it is visited no more, because it failed or none of its processes lives.
    """

    planned: Planned
    widths: VisitWidths
    visits: int
    processes: int
    ended: bool = False


@dataclass(frozen=True)
class VisitsMade:
    """After ``rounds`` rounds of visits ``known`` of ``cells`` cells need no more.

    ``left_s`` is what is left of the time for the others, of the ``budget_s`` of all of them;
    ``wanted`` the half-width (relative) at which a cell is known. ``delivered`` is the share of its
    own speed that the machine delivers now; None where no canary tells it. ``looks`` has the cells
    that are visited in turn now, which may be a part of the run's.
    """

    rounds: int
    known: int
    cells: int
    left_s: float
    wanted: float | None = None
    budget_s: float | None = None
    delivered: float | None = None
    looks: tuple[CellLook, ...] = ()


@dataclass(frozen=True)
class VisitLost:
    """A visit of the cell tells nothing, for that reason, and is in no record."""

    planned: Planned
    reason: str


@dataclass(frozen=True)
class SpeedRemarked:
    """What a user has to know of the machine's own speed, to which times were adjusted."""

    words: str


@dataclass(frozen=True)
class LaunchedAfresh:
    """A cell cannot be measured by visits here, for that reason: it is launched for every look."""

    planned: Planned
    reason: str


@dataclass(frozen=True)
class RecordUpdated:
    """The record of a cell as it now lies on disk."""

    record: Record


RunEvent = (
    ExportsPlanned
    | ExportStarted
    | ExportFinished
    | WaitingForOther
    | PeaksMeasured
    | SweepStarted
    | RunPlanned
    | LaunchStarted
    | VisitsMade
    | VisitLost
    | SpeedRemarked
    | LaunchedAfresh
    | RecordUpdated
)
