"""A visit during which the machine slept, on processes that are made up."""

from __future__ import annotations

import itertools
import os
from types import SimpleNamespace

import pytest

from deploybench.measure import residence
from deploybench.measure.job import Job
from deploybench.measure.residence import CANARY, Residence, VisitTimes
from deploybench.measure.resident_worker import VisitReply
from deploybench.results.visit import CanaryReading
from deploybench.telemetry.trace import Trace
from tests.records import launch

JOB = Job(
    artifact="/a",
    runner="pytorch",
    device="cpu",
    precision="fp32",
    batch=1,
    threads=1,
    duration_s=0.1,
    limit_s=1.0,
)


class Answering:
    """Stands for a process at rest: a worker that starts and is visited, or the canary.

    ``readings`` numbers the readings of the canary.
    """

    readings = itertools.count(1)

    def __init__(self, module: str, *_: object) -> None:
        self._module = module
        self._asked = 0

    number = os.getpid()
    restless = False

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def close(self) -> None:
        return

    def ask(self, question: str, time_limit_s: float) -> str:
        if self._module == CANARY:
            number = float(next(Answering.readings))
            return CanaryReading(compute_us=number, memory_us=1.0).model_dump_json()
        self._asked += 1
        if self._asked == 1:
            return launch([10.0] * 20).model_dump_json()
        return VisitReply(samples_ns=(10_000_000,), window_ns=10_000_000).model_dump_json()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """How long the machine slept is added up in ``slept_s``, by every visit ``each_s``."""
    told = SimpleNamespace(slept_s=0.0, each_s=0.0)

    def slept_s() -> float:
        before = float(told.slept_s)
        told.slept_s += told.each_s
        return before

    monkeypatch.setattr(residence, "Resident", Answering)
    monkeypatch.setattr(residence, "slept_s", slept_s)
    return told


def test_visit_during_which_the_machine_slept_is_none_and_its_canary_is_read_anew(
    clocks: SimpleNamespace,
) -> None:
    with Residence(VisitTimes(0.1, 1.0), 1) as made:
        made.start(0, JOB, 0)
        first = made.visit(0, 0, 0)
        assert first is not None
        clocks.each_s = 30.0
        assert made.visit(0, 1, 0) is None
        clocks.each_s = 0.0
        third = made.visit(0, 2, 0)
    assert third is not None
    assert first.after is not None
    assert third.before is not None
    # One reading ended the first visit, another one the visit that was left out; both are too old.
    assert third.before.compute_us >= first.after.compute_us + 2


def test_canary_that_never_moves_is_read_once_a_second(
    clocks: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visit of the stand-in takes no time, so hundreds of them fit into a second."""
    trace = Trace()
    still = SimpleNamespace(of=False)
    monkeypatch.setattr(Trace, "still", property(lambda self: still.of))
    with Residence(VisitTimes(0.1, 1.0), 1, (), trace) as made:
        made.start(0, JOB, 0)
        for number in range(10):
            made.visit(0, number, 0)
        assert len(trace.readings) == 11
        still.of = True
        visits = [made.visit(0, number, 0) for number in range(10, 20)]
    assert len(trace.readings) == 11
    assert visits[-1] is not None
    assert visits[-1].before is None
    assert visits[-1].after is None


def test_visit_that_takes_no_longer_than_clocks_differ_by_counts(clocks: SimpleNamespace) -> None:
    clocks.each_s = 0.01
    with Residence(VisitTimes(0.1, 1.0), 1) as made:
        made.start(0, JOB, 0)
        visit = made.visit(0, 0, 0)
    assert visit is not None
    assert visit.median_ns == 10_000_000
