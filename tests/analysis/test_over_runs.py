"""The interval of a time over whole runs: wider than that of its run, by what runs differ."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.between_runs import BEST, visits_record
from deploybench.analysis.over_runs import OverRuns, over_runs
from deploybench.report.over_runs_text import over_runs_sections
from deploybench.results.record import Record
from deploybench.statistics.shift import ASSUMED_SHIFT_UNDISTURBED
from tests.analysis.test_between_runs import FULL_SPEED, NOISE, visits_run
from tests.comparisons import record

QUANTILE = 1.96


def found(one: Record, *others: Record) -> OverRuns:
    interval = over_runs(one, others)
    assert interval is not None
    return interval


def own_width(one: Record) -> float:
    assert one.summary is not None
    state = one.summary.states[0]
    assert state.p50_high_ms is not None
    return math.log(state.p50_high_ms / state.p50_ms)


def test_one_run_alone_is_wider_by_the_assumed_shift() -> None:
    run = visits_run(1.0, "only")
    interval = found(run)
    assert interval.shift.runs == 0
    wide = math.hypot(own_width(run), QUANTILE * ASSUMED_SHIFT_UNDISTURBED)
    assert math.log(interval.high_ms / interval.p50_ms) == pytest.approx(wide, rel=0.01)
    (section,) = over_runs_sections(run, [])
    assert "a run is assumed to shift by 1.1%, 4 runs of it would tell" in str(section.lines[0])


def test_runs_at_hand_tell_the_shift_and_each_counts_once() -> None:
    runs = [visits_run(factor, f"r{factor}") for factor in (0.97, 0.99, 1.01, 1.03)]
    interval = found(runs[0], *runs, runs[0])
    assert interval.shift.runs == 4
    deviation = np.std(np.log([0.97, 0.99, 1.01, 1.03]), ddof=1)
    assert interval.shift.deviation == pytest.approx(deviation, rel=0.05)
    # Student's t for three degrees of freedom.
    assert math.log(interval.high_ms / interval.p50_ms) > 3.18 * deviation
    (section,) = over_runs_sections(runs[0], runs)
    assert "4 runs of it tell by how much a run shifts" in str(section.lines[0])


def test_runs_of_another_thing_tell_nothing() -> None:
    others = [visits_run(1 + shift / 100, f"r{shift}") for shift in range(5)]
    for number, other in enumerate(others):
        cell = other.cell.replaced(threads=7)
        others[number] = other.replaced(cell=cell)
    assert found(visits_run(1.0, "only"), *others).shift.runs == 0


def test_the_time_is_at_the_best_that_any_run_knew() -> None:
    """The machine gave 90 % all the time: a run that never saw more took that for all of it."""
    slow = np.full(len(NOISE), math.log(0.9))
    knew = BEST.replaced(compute_us=BEST.compute_us / 0.9, memory_us=BEST.memory_us / 0.9)
    misled, likewise = (
        visits_record(NOISE - slow, slow, run=name, best=knew) for name in ("misled", "likewise")
    )
    assert over_runs(misled, [likewise]) is not None
    assert over_runs(misled, [likewise, visits_run(1.0, "more")]) is None


def test_what_is_not_known_or_was_launched_has_no_interval() -> None:
    assert over_runs(record([10.0, 10.1, 9.9], "launches"), []) is None
    few = visits_record(NOISE[:6], FULL_SPEED[:6], run="few")
    assert over_runs(few, []) is None
    assert over_runs_sections(few, []) == []
