"""Percentiles and intervals against their definitions, for any samples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from deploybench.statistics.samples import (
    Interval,
    kendall_tau,
    median,
    median_interval,
    nearest_rank,
    quantile,
    samples_needed,
    spread,
)

SAMPLES = st.lists(st.integers(1, 10**12), min_size=1, max_size=300)
FRACTIONS = [0.5, 0.9, 0.95, 0.99, 0.999]


@given(SAMPLES, st.sampled_from(FRACTIONS))
def test_nearest_rank_is_the_sample_at_the_whole_part_of_count_times_fraction(
    samples: list[int], q: float
) -> None:
    found = nearest_rank(samples, q)
    place = math.floor(Fraction(str(q)) * len(samples))
    assert found == sorted(samples)[place]
    assert sum(sample <= found for sample in samples) > place
    assert sum(sample < found for sample in samples) <= place


@pytest.mark.parametrize(
    ("count", "q", "place"), [(10, 0.5, 5), (100, 0.99, 99), (1000, 0.999, 999), (5, 0.9, 4)]
)
def test_nearest_rank_has_loadgen_s_place_counted_from_0(count: int, q: float, place: int) -> None:
    assert nearest_rank(range(count), q) == place


@pytest.mark.parametrize(
    ("q", "expected"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688)]
)
def test_percentile_is_given_exactly_from_the_fewest_samples_that_bound_it(
    q: float, expected: int
) -> None:
    assert samples_needed(q) == expected
    assert 1 - q**expected >= 0.975 > 1 - q ** (expected - 1)
    enough, too_few = quantile([range(expected)], q), quantile([range(expected - 1)], q)
    assert (enough.value, enough.needed) == (nearest_rank(range(expected), q), expected)
    assert enough.low is not None
    assert (too_few.value, too_few.low, too_few.high, too_few.needed) == (
        None,
        None,
        None,
        expected,
    )
    assert (enough.samples, too_few.samples) == (expected, expected - 1)


@given(st.lists(SAMPLES, min_size=1, max_size=5), st.sampled_from([0.5, 0.9, 0.95]))
def test_quantile_is_the_nearest_rank_of_all_samples_and_its_interval_ends_are_samples_around_it(
    groups: list[list[int]], q: float
) -> None:
    pooled = [sample for group in groups for sample in group]
    found = quantile(groups, q)
    assert found.samples == len(pooled)
    if found.value is None:
        return
    assert found.value == nearest_rank(pooled, q)
    assert {found.low, found.high} <= set(pooled)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("q", "count"), [(0.5, 101), (0.9, 200), (0.99, 1000)])
def test_interval_of_a_percentile_covers_the_true_one_in_95_of_100_experiments(
    q: float, count: int
) -> None:
    draws = np.random.default_rng(7).random((600, count))
    found = [quantile([row], q) for row in draws.tolist()]
    covered = np.mean([(item.low or 0) <= q <= (item.high or 0) for item in found])
    assert 0.93 <= covered <= 0.985


@pytest.mark.parametrize("q", [0.5, 0.9])
def test_interval_still_covers_when_the_samples_of_a_launch_are_alike(q: float) -> None:
    """Twenty launches whose levels differ as much as their samples do: the pooled samples are far
    from independent."""
    draw = np.random.default_rng(3)
    true = float(np.quantile(draw.normal(size=200_000) + draw.normal(size=200_000), q))
    covered = []
    for _ in range(300):
        groups = draw.normal(size=(20, 1)) + draw.normal(size=(20, 40))
        found = quantile(groups.tolist(), q)
        assert found.low is not None
        assert found.high is not None
        covered.append(found.low <= true <= found.high)
    assert np.mean(covered) >= 0.88


def test_interval_is_wider_and_more_samples_are_asked_for_when_launches_differ() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, (10, 60))
    alike = quantile((10 + noise).tolist(), 0.5)
    levels = np.linspace(9, 11, 10)[:, None]
    different = quantile((levels + noise).tolist(), 0.5)
    pooled = quantile([(levels + noise).ravel().tolist()], 0.5)
    assert alike.needed < 12
    assert pooled.needed == 6
    assert different.needed > 60
    assert (different.high or 0) - (different.low or 0) > 3 * (
        (pooled.high or 0) - (pooled.low or 0)
    )


def test_percentile_is_absent_when_the_samples_are_only_as_good_as_two() -> None:
    noise = np.linspace(0, 0.01, 50)
    two_launches = quantile([(1 + noise).tolist(), (2 + noise).tolist()], 0.5)
    assert two_launches.value is None
    assert two_launches.needed > 100


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
    assert median_interval([3.0, 1.0, 2.0]) == Interval(1.0, 3.0, 0.75)


def test_median_interval_is_absent_for_one_value() -> None:
    assert median_interval([1.0]) is None


def test_half_width_is_that_of_the_farther_end() -> None:
    assert Interval(9, 12, 0.95).half_width(10) == pytest.approx(0.2)
    assert Interval(7, 11, 0.95).half_width(10) == pytest.approx(0.3)


def test_median_of_an_even_number_is_the_mean_of_the_middle_two() -> None:
    assert median([4, 1, 3, 2]) == 2.5


def test_spread_is_the_range_of_nine_values_relative_to_the_median() -> None:
    assert spread([90, 100, 130]) == pytest.approx(0.4)
    assert spread([100] * 8 + [140]) == pytest.approx(0.4)


def test_spread_of_more_values_is_from_p10_to_p90() -> None:
    assert spread([50] + [100] * 10) == 0
    assert spread([50] + [100] * 18 + [140]) == 0
    assert spread([50] * 3 + [100] * 14 + [140] * 3) == pytest.approx(0.9)


def test_kendall_tau_is_one_for_the_same_order_and_absent_when_undefined() -> None:
    assert kendall_tau([1, 2, 3], [10, 20, 30]) == pytest.approx(1)
    assert kendall_tau([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert kendall_tau([1], [1]) is None
    assert kendall_tau([1, 1], [1, 2]) is None
