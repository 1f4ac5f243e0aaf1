"""How narrow the intervals are by now, and how long it still takes."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.analysis.summary import summarise
from deploybench.analysis.visit_progress import VisitWidths, seconds_left, widths
from tests.records import launch
from tests.visited_cells import BEST, contended, times_ms, visits

CALM = np.ones(300)


def noise(count: int, deviation: float = 0.01, seed: int = 0) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, deviation, count))


def test_the_widths_are_those_of_the_summary() -> None:
    generator = np.random.default_rng(0)
    delivered = contended(generator, 240, calm=0.4, slowest=0.5)
    made = visits(times_ms(generator, delivered), delivered)
    summary = summarise([launch([10.0] * 20)], 1, made, BEST)
    assert summary is not None
    (state,) = summary.states
    assert state.visited is not None
    assert state.p50_high_ms is not None

    found = widths(made, BEST)

    assert found.known is state.visited.known is True
    assert found.undisturbed_half_width == pytest.approx(
        state.p50_high_ms / state.p50_ms - 1, rel=1
    )
    assert found.speedup_half_width is None
    assert found.narrow(0.015)


def test_the_speedup_over_the_baseline_is_the_second_width() -> None:
    slow, fast = visits(20 * noise(100, seed=1), CALM), visits(10 * noise(100, seed=2), CALM)

    found = widths(fast, BEST, slow)

    assert found.known
    assert found.speedup_half_width is not None
    assert 0 < found.speedup_half_width < 0.015
    assert not found.narrow(found.speedup_half_width / 2)


def test_nothing_is_known_at_the_beginning() -> None:
    for count in (0, 1, 5):
        made = visits(10 * noise(count), CALM)
        found = widths(made, BEST, made)
        assert not found.known
        assert found.undisturbed_half_width is None
        assert not found.narrow(1.0)
        assert seconds_left(found, 0.01, spent=3.0) is None
    assert widths(visits(10 * noise(60), CALM), BEST, []).known is False


def test_time_left_follows_the_square_of_the_width_and_what_is_not_known_yet() -> None:
    known = VisitWidths(0.02, 0.01, known=True, grow=0.5)
    assert seconds_left(known, wanted=0.01, spent=20.0) == pytest.approx(60)
    assert seconds_left(known, wanted=0.02, spent=20.0) == 0
    dependent = VisitWidths(0.01, None, known=False, grow=3.0)
    assert seconds_left(dependent, wanted=0.01, spent=20.0) == pytest.approx(40)


def test_time_left_waits_for_calm_visits_and_cannot_be_told_where_none_comes() -> None:
    shares = np.full(60, 0.7)
    shares[[10, 30, 50]] = 1.0
    some = widths(visits(10 / shares * noise(60), shares), BEST)
    none = widths(visits(10 * noise(60), np.full(60, 0.7)), BEST)

    assert not some.known
    assert not none.known
    # Three calm ones came in 30 s, 15 are needed.
    left = seconds_left(some, wanted=0.05, spent=30.0)
    assert left is not None
    assert left >= 4 * 30
    assert seconds_left(none, wanted=0.05, spent=30.0) is None
