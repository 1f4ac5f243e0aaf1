"""Where another run of a cell would land: farther than its own interval, by what runs shift."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.between_runs import BEST, visits_record
from deploybench.analysis.another_run import AnotherRun, another_run
from deploybench.report.another_run_text import another_run_sections
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.shift import ASSUMED_SHIFT_UNDISTURBED
from tests.analysis.test_between_runs import FULL_SPEED, NOISE, visits_run
from tests.comparisons import record

QUANTILE = 1.96


def width(found: AnotherRun | None) -> float:
    """From one end to the other, a logarithm."""
    assert found is not None
    assert found.low_ms is not None
    assert found.high_ms is not None
    return math.log(found.high_ms / found.low_ms)


def runs_of(found: AnotherRun | None) -> int:
    assert found is not None
    assert found.shift is not None
    return found.shift.runs


def said(one: Record, *others: Record) -> str:
    (section,) = another_run_sections(one, others)
    return str(section.lines[0])


def test_of_one_run_alone_the_shift_of_both_is_assumed() -> None:
    run = visits_run(1.0, "only")
    assert run.summary is not None
    state = run.summary.states[0]
    assert state.p50_low_ms is not None
    assert state.p50_high_ms is not None
    below, above = state.p50_ms / state.p50_low_ms, state.p50_high_ms / state.p50_ms
    of_both = QUANTILE * math.sqrt(2) * ASSUMED_SHIFT_UNDISTURBED
    wide = 2 * math.hypot(math.log(below), math.log(above), of_both)
    assert width(another_run(run, [])) == pytest.approx(wide, rel=0.01)
    assert "a run is assumed to shift by 1.1%, 4 VALID runs of it would tell" in said(run)


def test_runs_at_hand_tell_where_the_next_lands_and_too_small_a_shift_does_not() -> None:
    """Runs that shift by 3 %: by far the larger part of what is not known."""
    generator = np.random.default_rng(7)
    factors = np.exp(generator.normal(0, 0.03, 40))
    runs = [visits_run(factor, f"r{place}") for place, factor in enumerate(factors)]
    held, held_alone = [], []
    for _ in range(300):
        *known, next_one = (runs[place] for place in generator.choice(len(runs), 6, replace=False))
        held.append(holds(another_run(known[0], known), next_one))
        held_alone.append(holds(another_run(known[0], []), next_one))
    assert np.mean(held) >= 0.93
    assert np.mean(held_alone) <= 0.75


def holds(found: AnotherRun | None, run: Record) -> bool:
    assert found is not None
    assert found.low_ms is not None
    assert found.high_ms is not None
    assert run.summary is not None
    return found.low_ms <= run.summary.states[0].p50_ms <= found.high_ms


def test_each_run_counts_once() -> None:
    runs = [visits_run(factor, f"r{factor}") for factor in (0.97, 0.99, 1.01, 1.03)]
    assert runs_of(another_run(runs[0], [*runs, runs[0], runs[1]])) == 4
    assert "4 runs of it tell by how much a run shifts" in said(runs[0], *runs)


def test_runs_of_another_thing_or_without_a_canary_tell_nothing() -> None:
    own = visits_run(1.0, "only")
    others = [visits_run(1 + shift / 100, f"r{shift}") for shift in range(5)]
    unlike = [other.replaced(cell=other.cell.replaced(threads=7)) for other in others]
    assert runs_of(another_run(own, unlike)) == 0
    # As experienced on a machine that gave 80 %: no shift of the undisturbed time.
    met = [other.replaced(canary=None) for other in others]
    assert another_run(own, met) == another_run(own, [])
    of_one_thread = [other.replaced(canary=BEST.replaced(threads=1)) for other in others]
    assert another_run(own, of_one_thread) == another_run(own, [])


def test_time_that_another_run_shows_to_be_unknown_is_said_to_be() -> None:
    """The machine gave 90 % all the time: a run that never saw more took that for all of it."""
    slow = np.full(len(NOISE), math.log(0.9))
    knew = BEST.replaced(compute_us=BEST.compute_us / 0.9, memory_us=BEST.memory_us / 0.9)
    misled, likewise = (
        visits_record(NOISE - slow, slow, run=name, best=knew) for name in ("misled", "likewise")
    )
    assert width(another_run(misled, [likewise])) > 0
    found = another_run(misled, [likewise, visits_run(1.0, "more")])
    assert found is not None
    assert found.again
    assert found.low_ms is None
    assert found.judgement.verdict is Verdict.NOISY
    words = said(misled, likewise, visits_run(1.0, "more"))
    assert words.startswith("another run of it saw this machine faster")
    assert "NOISY" in words


def test_what_is_not_known_or_was_launched_is_not_told() -> None:
    assert another_run(record([10.0, 10.1, 9.9], "launches"), []) is None
    few = visits_record(NOISE[:6], FULL_SPEED[:6], run="few")
    assert another_run(few, []) is None
    assert another_run_sections(few, []) == []
