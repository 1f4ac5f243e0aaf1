"""The search for the highest rate, driven with made-up systems."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.scenarios.search import FACTOR, MOST_TRIALS, RESOLUTION, WIDEST, RateSearch

RATES = st.floats(min_value=0.01, max_value=1e6)
ROUNDING = 1.001
"""Rates have four digits."""


def drive(search: RateSearch, holds: Callable[[float], bool]) -> list[tuple[float, bool]]:
    """Answer every rate; what was tried, in order."""
    tried = []
    while (rate := search.next_rate()) is not None:
        passed = holds(rate)
        tried.append((rate, passed))
        search.tell(rate, passed=passed)
        assert len(tried) <= MOST_TRIALS
    return tried


@given(start=RATES, octaves=st.floats(min_value=1 - WIDEST, max_value=WIDEST - 1))
def test_search_finds_a_steady_limit_to_its_resolution(start: float, octaves: float) -> None:
    limit = start * FACTOR**octaves
    search = RateSearch(start)
    drive(search, lambda rate: rate <= limit)
    assert search.found_per_s is not None
    assert limit / (RESOLUTION * ROUNDING) <= search.found_per_s <= limit


@given(start=RATES, limit=RATES, seed=st.integers(0, 1000), luck=st.floats(0, 0.4))
def test_found_rate_passed_twice_and_is_below_every_failure(
    start: float, limit: float, seed: int, luck: float
) -> None:
    generator = random.Random(seed)
    search = RateSearch(start)
    tried = drive(search, lambda rate: (rate <= limit) != (generator.random() < luck))
    if search.found_per_s is not None:
        assert tried.count((search.found_per_s, True)) == 2
        assert tried[-1] == (search.found_per_s, True)
        assert all(rate > search.found_per_s for rate, passed in tried if not passed)


@given(start=RATES)
def test_search_gives_up_where_nothing_passes_and_ends_where_everything_does(start: float) -> None:
    nothing, everything = RateSearch(start), RateSearch(start)
    lowest = min(rate for rate, _ in drive(nothing, lambda rate: False))
    drive(everything, lambda rate: True)
    assert nothing.found_per_s is None
    assert lowest == pytest.approx(start / FACTOR**WIDEST, rel=0.01)
    assert everything.found_per_s == pytest.approx(start * FACTOR**WIDEST, rel=0.01)


def test_search_goes_below_a_rate_that_passed_by_luck() -> None:
    passes = {100.0: 9, 141.4: 9, 168.2: 1}
    search = RateSearch(100, resolution=1.2)

    def holds(rate: float) -> bool:
        passes[rate] = passes.get(rate, 0) - 1
        return passes[rate] >= 0

    tried = [rate for rate, _ in drive(search, holds)]
    assert tried == [100, 200, 141.4, 168.2, 168.2, 141.4]
    assert search.found_per_s == 141.4


def test_rates_can_be_typed_again() -> None:
    search = RateSearch(123.456789)
    assert [
        rate for rate, _ in drive(search, lambda rate: rate < 300) if float(f"{rate:g}") != rate
    ] == []
