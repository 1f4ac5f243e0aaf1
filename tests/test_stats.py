"""Percentiles and intervals against their definitions, for any samples."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deploybench.stats import kendall_tau, median_interval, nearest_rank, percentile, samples_needed, spread

SAMPLES = st.lists(st.integers(1, 10**12), min_size=1, max_size=300)


@given(SAMPLES, st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
def test_nearest_rank_is_the_smallest_sample_that_enough_samples_do_not_exceed(samples: list[int], q: float) -> None:
    found = nearest_rank(samples, q)
    needed = math.ceil(q * len(samples) - 1e-9)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= needed
    assert sum(sample < found for sample in samples) < max(needed, 1)


@given(SAMPLES, st.sampled_from([0.5, 0.9, 0.99]))
def test_percentile_is_absent_exactly_when_too_few_samples(samples: list[int], q: float) -> None:
    assert (percentile(samples, q) is None) == (len(samples) < samples_needed(q))


@pytest.mark.parametrize(("q", "expected"), [(0.5, 5), (0.9, 29), (0.95, 59), (0.99, 299), (0.999, 2995)])
def test_samples_needed_leave_one_above_the_percentile_with_95_percent_confidence(q: float, expected: int) -> None:
    assert samples_needed(q) == expected
    assert 1 - q**expected >= 0.95 > 1 - q ** (expected - 1)


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=60, unique=True))
def test_median_interval_has_the_coverage_of_the_binomial_distribution(values: list[float]) -> None:
    interval = median_interval(values)
    assert interval is not None
    ordered = sorted(values)
    index = ordered.index(interval.low)
    assert ordered[-1 - index] == interval.high
    assert interval.coverage == pytest.approx(1 - 2 * binom.cdf(index, len(values), 0.5))
    assert interval.coverage >= 0.95 or len(values) < 6
    if index + 1 <= (len(values) - 1) // 2:
        assert 1 - 2 * binom.cdf(index + 1, len(values), 0.5) < 0.95


def test_median_interval_of_three_launches_admits_that_it_covers_75_percent() -> None:
    interval = median_interval([3.0, 1.0, 2.0])
    assert interval is not None
    assert (interval.low, interval.high, interval.coverage) == (1.0, 3.0, 0.75)


def test_median_interval_is_absent_for_one_value() -> None:
    assert median_interval([1.0]) is None


def test_spread_is_the_range_relative_to_the_median() -> None:
    assert spread([90, 100, 130]) == pytest.approx(0.4)


def test_kendall_tau_is_one_for_the_same_order_and_absent_when_undefined() -> None:
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert kendall_tau([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert kendall_tau([1], [1]) is None
    assert kendall_tau([1, 1], [1, 2]) is None
