"""The median of values that may depend on each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.dependence import autoregressive, look
from deploybench.statistics.dependence import (
    MOST_PAIRED,
    centre_of,
    centre_of_logs,
    inefficiency_of,
    middle_of_pairs,
    widest_interval,
)


def test_independent_values_are_worth_about_their_number() -> None:
    values = np.random.default_rng(0).normal(size=400)

    centre = centre_of(values)

    assert centre.independent == pytest.approx(400, rel=0.3)
    assert centre.known
    assert centre.low < 0 < centre.high


@pytest.mark.parametrize(("correlation", "inefficiency"), [(0.5, 3), (0.9, 19)])
def test_a_long_ar1_series_has_about_the_inefficiency_of_theory(
    correlation: float, inefficiency: float
) -> None:
    values = autoregressive(correlation, 1.0)(np.random.default_rng(1), 20_000)

    estimate, largest = inefficiency_of(values)

    # That of the median is a little smaller than (1 + r) / (1 - r), which is the mean's; that of
    # means of neighbours up to a half larger.
    assert 0.6 * inefficiency < estimate < 1.5 * inefficiency
    assert largest >= estimate


def test_a_short_dependent_series_is_not_known_however_narrow_it_is() -> None:
    values = autoregressive(0.97, 1e-4)(np.random.default_rng(2), 100)

    assert not centre_of(values).known


def test_a_drift_is_not_known() -> None:
    drift = np.linspace(0, 0.1, 200) + np.random.default_rng(3).normal(0, 0.001, 200)

    assert not centre_of(drift).known


def test_the_interval_covers_the_truth_when_the_look_stops_at_a_narrow_one() -> None:
    """Also because it stopped there; 93 to 97 % by ``benchmarks.dependence``, here roughly."""
    result = look(autoregressive(0.6, 0.01), np.random.default_rng(4), trials=150, wanted=0.015)

    assert result.stopped > 0.9
    assert result.covered is not None
    assert result.covered > 0.88


def test_equal_values_are_known_exactly() -> None:
    centre = centre_of([5.0] * 30)

    assert (centre.low, centre.value, centre.high) == (5.0, 5.0, 5.0)
    assert centre.known


def test_values_that_hardly_differ_are_known_whatever_they_know_of_each_other() -> None:
    wave = 0.002 * np.sin(np.arange(20) / 6)

    assert not centre_of(wave).known
    centre = centre_of_logs(wave)
    assert centre.known
    assert centre.distance == pytest.approx(0.005)
    assert not centre_of_logs(2 * wave).known
    assert not centre_of_logs(wave[:7]).known


def test_a_few_values_have_no_interval() -> None:
    centre = centre_of([1.0, 2.0, 3.0])

    assert centre.value == 2.0
    assert math.isinf(centre.half_width)
    assert not centre.known


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80),
    st.floats(-100, 100),
    st.floats(0.01, 100),
)
def test_the_centre_lies_in_its_interval_and_moves_with_the_values(
    values: list[float], shift: float, scale: float
) -> None:
    centre = centre_of(values)
    moved = centre_of(np.asarray(values) * scale + shift)

    assert centre.low <= centre.value <= centre.high
    assert 0 <= centre.surely <= centre.independent <= centre.count
    assert moved.value == pytest.approx(centre.value * scale + shift, rel=1e-6, abs=1e-3)


def test_widest_interval_holds_where_the_dependence_is_not_known() -> None:
    generator = np.random.default_rng(7)
    covered = intervals = 0
    for _ in range(150):
        series = autoregressive(0.5, 1.0)(generator, 76)
        if centre_of(series).known:
            continue
        widest = widest_interval(series)
        if widest is not None:
            intervals += 1
            covered += widest[0] <= 0 <= widest[1]
    assert intervals > 10
    assert covered >= 0.9 * intervals


def test_widest_interval_is_none_of_few_values_and_of_a_drift() -> None:
    assert widest_interval([0.1, 0.2, 0.3]) is None
    assert widest_interval(np.linspace(0, 1, 80)) is None


def test_the_centre_of_logs_is_nearer_to_the_truth_than_the_median_is() -> None:
    """By a fifth, of normal noise (Hodges and Lehmann 1963)."""
    generator = np.random.default_rng(5)
    pairs, medians, covered = [], [], 0
    for _ in range(300):
        values = generator.normal(0, 0.02, 60)
        centre = centre_of_logs(values)
        pairs.append(centre.value)
        medians.append(float(np.median(values)))
        covered += centre.low <= 0 <= centre.high

    assert np.std(pairs) < 0.9 * np.std(medians)
    assert covered / 300 >= 0.9


def test_where_one_side_has_modes_of_its_own_the_median_counts() -> None:
    generator = np.random.default_rng(6)
    modes = np.where(generator.random(300) < 0.3, 0.25, 0.0)
    values = modes + generator.normal(0, 0.01, 300)

    assert middle_of_pairs(values) > np.median(values) + 0.02
    assert centre_of_logs(values).value == np.median(values)


def test_wild_values_on_one_side_do_not_widen_the_interval_of_the_middle() -> None:
    """A sixth of them is in a third of all pairs; the median hardly knows of them."""
    generator = np.random.default_rng(6)
    wild = np.where(generator.random(60) < 1 / 6, 0.9, 0.0)
    values = wild + generator.normal(0, 0.02, 60)

    centre = centre_of_logs(values)

    assert 0 < centre.high < 0.05, "the truth is 0, and every sixth of the calm values below 0.9"
    assert centre.low < 0.03


def test_of_very_many_values_neighbours_are_put_together() -> None:
    generator = np.random.default_rng(7)
    values = generator.normal(0, 0.02, 4 * MOST_PAIRED + 3)

    centre = centre_of_logs(values)

    assert centre.count == len(values)
    # Of independent values 1.96 standard errors, if nothing is lost by putting them together.
    assert centre.distance == pytest.approx(1.96 * 0.02 / math.sqrt(len(values)), rel=0.3)
