"""What a time would be if the machine delivered all of its speed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploybench.statistics.adjust import (
    EXPECTED_ERROR,
    EXPECTED_SLOPE,
    NEAR_ERROR,
    NEAR_SLOPE,
    SLOPES_VARY,
    Basis,
    Floats,
    SpeedNoise,
    slope_of,
    undisturbed,
)
from deploybench.statistics.dependence import centre_of_logs

VISITS = 400
TRUTH = math.log(10.0)


def visits(
    generator: np.random.Generator, slope: float, slowest: float, calm_share: float
) -> tuple[Floats, Floats]:
    """Times and speeds of visits: a share of them at full speed, the others down to ``slowest``."""
    calm = generator.random(VISITS) < calm_share
    speeds = np.where(calm, 0.0, generator.uniform(math.log(slowest), 0.0, VISITS))
    times = TRUTH + slope * speeds + generator.normal(0, 0.01, VISITS)
    return times, speeds + generator.normal(0, 0.003, VISITS)


def test_the_slope_is_found_although_some_visits_are_wild() -> None:
    generator = np.random.default_rng(0)
    times, speeds = visits(generator, slope=-1.2, slowest=0.5, calm_share=0.2)
    times[::20] += generator.uniform(0.5, 2.0, len(times[::20]))

    slope = slope_of(times, speeds)

    assert slope.value == pytest.approx(-1.2, abs=0.1)
    assert slope.low < -1.2 < slope.high


def test_a_machine_that_never_moved_shows_no_slope_so_the_expected_one_is_as_good_as_it_was() -> (
    None
):
    generator = np.random.default_rng(1)

    slope = slope_of(generator.normal(0, 0.01, 100), generator.normal(0, 0.002, 100))

    assert slope.value == EXPECTED_SLOPE
    assert slope.high - slope.low == pytest.approx(2 * 1.96 * EXPECTED_ERROR)


def test_noise_of_the_speeds_neither_flattens_the_slope_nor_counts_as_movement() -> None:
    generator = np.random.default_rng(1)
    speeds = generator.uniform(-0.1, 0.0, VISITS)
    times = -1.2 * speeds + generator.normal(0, 0.01, VISITS)
    noise = SpeedNoise(speed=0.02)
    read = speeds + generator.normal(0, noise.speed, VISITS)

    assert slope_of(times, read).value > -0.95
    assert slope_of(times, read, noise).value == pytest.approx(-1.2, abs=0.12)

    of_noise_alone = generator.normal(0, noise.speed, VISITS)
    assert slope_of(times, of_noise_alone, noise).value == EXPECTED_SLOPE


def test_a_level_of_the_speeds_that_is_badly_known_is_in_the_interval() -> None:
    generator = np.random.default_rng(1)
    times, speeds = visits(generator, slope=-1.0, slowest=0.9, calm_share=0.8)

    well_known = undisturbed(times, speeds, SpeedNoise(speed=0.01, own=0.03))
    badly_known = undisturbed(times, speeds, SpeedNoise(speed=0.01, own=0.3))

    assert badly_known.centre.distance > 1.96 * abs(NEAR_SLOPE) * 0.3 / math.sqrt(VISITS)
    assert well_known.centre.distance < badly_known.centre.distance / 3


def test_where_a_third_of_the_visits_are_calm_they_decide() -> None:
    times, speeds = visits(np.random.default_rng(2), slope=-1.0, slowest=0.5, calm_share=0.35)

    estimate = undisturbed(times, speeds)

    assert estimate.basis is Basis.CALM
    assert estimate.known
    assert estimate.centre.value == pytest.approx(TRUTH, abs=0.005)
    # As experienced it took 15 % longer.
    assert float(np.median(times)) > TRUTH + 0.1


def test_calm_visits_too_few_to_show_how_they_depend_are_known_by_what_all_visits_show() -> None:
    generator = np.random.default_rng(5)
    speeds = np.where(np.arange(120) % 4 == 0, 0.0, -0.25) + generator.normal(0, 0.002, 120)
    times = TRUTH - speeds + generator.normal(0, 0.01, 120)
    calm = centre_of_logs((times + speeds)[::4])
    assert calm.count == 30
    assert not calm.known

    estimate = undisturbed(times, speeds)

    assert estimate.basis is Basis.CALM
    assert estimate.known
    assert estimate.centre.low <= TRUTH <= estimate.centre.high
    assert estimate.centre.distance >= calm.distance


def test_calm_visits_are_not_known_where_all_visits_depend_on_each_other() -> None:
    generator = np.random.default_rng(6)
    speeds = np.where(np.arange(120) % 4 == 0, 0.0, -0.25) + generator.normal(0, 0.002, 120)
    wander = np.zeros(120)
    for index in range(1, 120):
        wander[index] = 0.97 * wander[index - 1] + generator.normal(0, 0.01)

    assert not undisturbed(TRUTH - speeds + wander, speeds).known


def test_the_way_to_full_speed_costs_width_however_well_the_slope_is_seen() -> None:
    """Near full speed another kind of contention may be at work than where the slope was seen."""
    generator = np.random.default_rng(7)
    speeds = np.repeat([-0.04, -0.4], VISITS // 2) + generator.normal(0, 0.003, VISITS)
    times = TRUTH - speeds + generator.normal(0, 0.001, VISITS)

    estimate = undisturbed(times, speeds)

    assert estimate.basis is Basis.CALM
    assert estimate.centre.distance >= 1.96 * NEAR_ERROR * 0.035


def test_where_no_visit_was_calm_the_estimate_is_extrapolated_and_not_known() -> None:
    times, speeds = visits(np.random.default_rng(3), slope=-1.0, slowest=0.5, calm_share=0.0)
    slowed = speeds - 0.2

    estimate = undisturbed(times + 0.2, slowed)

    assert estimate.basis in (Basis.EXTRAPOLATED, Basis.UNSEEN)
    assert not estimate.known
    assert estimate.centre.value == pytest.approx(TRUTH, abs=0.05)
    assert estimate.centre.distance >= 1.96 * SLOPES_VARY * 0.2


def test_calm_visits_that_contradict_the_others_say_so() -> None:
    """Something that no canary sees slowed the cell just while the machine was calm."""
    times, speeds = visits(np.random.default_rng(4), slope=-1.0, slowest=0.5, calm_share=0.25)
    times[speeds > -0.02] += 0.1

    estimate = undisturbed(times, speeds)

    assert estimate.basis is Basis.CALM
    assert estimate.centre.value == pytest.approx(TRUTH + 0.1, abs=0.01)
    assert estimate.agree is False


def test_a_cell_that_follows_no_line_far_off_full_speed_contradicts_nothing() -> None:
    """One with many barriers: the line through the visits next to the calm ones agrees."""
    times, speeds = visits(np.random.default_rng(4), slope=-1.0, slowest=0.5, calm_share=0.25)
    times += 2 * speeds**2

    estimate = undisturbed(times, speeds)

    assert estimate.centre.value == pytest.approx(TRUTH, abs=0.01)
    assert not (estimate.whole.low <= TRUTH <= estimate.whole.high)
    assert estimate.agree is True


@pytest.mark.parametrize("clock", [-0.015, 0.0, 0.015])
def test_the_slope_of_far_contention_is_not_that_near_full_speed(clock: float) -> None:
    """Beside a neighbour one cell lost a third of what the canary lost. From hour to hour the clock
    alone moved both, and by as much: along the neighbour's slope five hours lay 4 % apart."""
    generator = np.random.default_rng(0)
    beside = generator.random(VISITS) < 0.5
    contention = np.where(beside, generator.uniform(-0.3, -0.15, VISITS), 0.0)
    speeds = clock + contention + generator.normal(0, 0.005, VISITS)
    times = TRUTH - clock - 0.3 * contention + generator.normal(0, 0.01, VISITS)

    found = undisturbed(times, speeds)

    assert found.slope.value == pytest.approx(-0.3, abs=0.15)
    assert found.basis is Basis.CALM
    assert found.centre.value == pytest.approx(TRUTH, abs=0.005)
    assert found.centre.low < TRUTH < found.centre.high
