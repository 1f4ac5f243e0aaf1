"""What scenarios tell their caller while they work: facts, nothing of their looks."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.hardware.pinning import UNPINNED, Pinning
from deploybench.results.cell import Cell
from deploybench.scenarios.record import ScenarioRecord
from deploybench.scenarios.settings import Scenario
from deploybench.telemetry.alone import WaitingForOther


@dataclass(frozen=True)
class ScenariosPlanned:
    """So many records will come: every cell in every scenario.

    ``pinning`` says on which CPUs the processes are kept.
    """

    count: int
    pinning: Pinning = UNPINNED


@dataclass(frozen=True)
class TestStarted:
    """A test begins; ``what`` tells the tests of one search apart: the rate that is tried."""

    __test__ = False  # pytest collects what is called Test
    scenario: Scenario
    cell: Cell
    what: str


@dataclass(frozen=True)
class ScenarioFinished:
    """One scenario on one cell is over; its record lies on disk."""

    record: ScenarioRecord


ScenarioEvent = WaitingForOther | ScenariosPlanned | TestStarted | ScenarioFinished
