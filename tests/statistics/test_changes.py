"""Changes of level: found where they are, and not where there is none."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploybench.statistics.changes import FEWEST, changes_of


def series(*levels: tuple[float, int], deviation: float = 0.02, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [
        level * math.exp(draw.gauss(0, deviation)) for level, count in levels for _ in range(count)
    ]


def test_a_step_is_found_where_it_is() -> None:
    (change,) = changes_of(series((10, 20), (11, 20)))
    assert change.earliest <= 20 <= change.latest
    assert abs(change.index - 20) <= 1
    assert change.p <= 0.01


def test_steps_up_and_down_are_told_apart() -> None:
    places = [change.index for change in changes_of(series((10, 20), (11.5, 15), (9, 20)))]
    assert len(places) == 2
    assert abs(places[0] - 20) <= 1
    assert abs(places[1] - 35) <= 1


def test_one_wild_run_is_no_change() -> None:
    values = series((10, 30))
    values[17] *= 5
    assert changes_of(values) == []


def test_a_step_at_the_end_takes_a_few_records() -> None:
    assert changes_of(series((10, 30), (12, 2))) == []
    assert len(changes_of(series((10, 30), (12, 5)))) == 1


def test_few_or_equal_values_have_no_change() -> None:
    assert changes_of([]) == []
    assert changes_of(series((10, 4), (20, 4), deviation=0)) == []
    assert len(changes_of([1.0] * FEWEST)) == 0
    assert len(changes_of([1.0] * 100)) == 0


def test_clean_step_of_the_fewest_values_is_found_whatever_their_order() -> None:
    """Else a history with so many would be told that nothing changed, and not that it is short."""
    half = FEWEST // 2
    for seed in range(30):
        (change,) = changes_of(series((10, half), (20, FEWEST - half), seed=seed))
        assert change.index == half


def test_series_without_a_change_seldom_have_one() -> None:
    alarms = sum(bool(changes_of(series((10, 30), seed=seed))) for seed in range(300))
    assert alarms <= 9  # 3 are expected; 10 or more of 300 have a chance of 1 in 1000


def test_only_the_order_of_the_values_counts() -> None:
    values = series((10, 15), (11, 15))
    assert changes_of(values) == changes_of([value**3 for value in values])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-3, 1e6), max_size=60))
def test_changes_are_in_order_and_within_the_series(values: list[float]) -> None:
    changes = changes_of(values)
    places = [change.index for change in changes]
    assert places == sorted(set(places))
    for change in changes:
        assert 0 < change.earliest <= change.index <= change.latest < len(values)
        assert change.p == pytest.approx(min(max(change.p, 0.0005), 0.01))
