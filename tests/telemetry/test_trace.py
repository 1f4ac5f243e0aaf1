"""What the readings of the canary say of a moment."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploybench.analysis.visit_estimates import (
    estimate_of,
    faults_share,
    series_of,
    share_delivered,
)
from deploybench.results.visit import AROUND_S, NEW_PAGES, CanaryBest, CanaryReading, Visit
from deploybench.telemetry.trace import LATE, Trace

BEST = CanaryBest(threads=2, compute_us=10_000, memory_us=2500, faults_us=2000, runs=1)
BEGIN = 500.0
"""Of the monotonic clock, which starts with the machine."""


def reading(compute_us: float, faults_us: float | None = 2000) -> CanaryReading:
    return CanaryReading(compute_us=compute_us, memory_us=2500, faults_us=faults_us)


def visit(at_s: float, *, faults: int | None = None, **of_the_canary: object) -> Visit:
    """Three calls of 10 ms."""
    return Visit(
        round=0,
        order=0,
        process=0,
        at_s=at_s,
        samples_ns=(10_000_000,) * 3,
        window_ns=30_000_000,
        faults=faults,
    ).replaced(**of_the_canary)


def test_a_wild_reading_beside_a_visit_is_outvoted_by_those_around_it() -> None:
    trace = Trace()
    for number in range(20):
        trace.add(BEGIN + 0.25 * number, reading(40_000 if number == 10 else 10_000))

    around = trace.around(2.4, 2.6)

    assert reading(40_000) in around
    assert {one.compute_us for one in trace.smoothed()} == {10_000}


def test_readings_far_from_a_visit_say_nothing_of_it() -> None:
    trace = Trace()
    for number in range(40):
        trace.add(BEGIN + 0.25 * number, reading(10_000 + number))

    around = trace.around(5.0, 5.5)

    moments_s = [0.25 * (one.compute_us - 10_000) for one in around]
    assert min(moments_s) == 5.0 - AROUND_S
    assert max(moments_s) == 5.5 + AROUND_S
    assert trace.around(100.0, 101.0) == []


def test_a_visit_is_settled_once_no_later_reading_is_near_it() -> None:
    trace = Trace()
    trace.add(BEGIN, reading(10_000))
    assert not trace.is_settled(0.0)
    trace.add(BEGIN + AROUND_S, reading(10_000))
    assert not trace.is_settled(0.0)
    trace.add(BEGIN + AROUND_S + 0.1, reading(10_000))
    assert trace.is_settled(0.0)


def test_smoothed_readings_are_the_same_whether_asked_for_at_once_or_now_and_again() -> None:
    generator = np.random.default_rng(0)
    readings = [reading(float(us)) for us in generator.uniform(9_000, 20_000, 60)]
    at_once, now_and_again = Trace(), Trace()
    for number, one in enumerate(readings):
        at_once.add(BEGIN + 0.3 * number, one)
        now_and_again.add(BEGIN + 0.3 * number, one)
        now_and_again.smoothed()
    assert at_once.smoothed() == now_and_again.smoothed()


def test_new_pages_that_cost_more_slow_a_cell_by_the_part_of_its_time_that_it_waits_for_them() -> (
    None
):
    """1,024 pages a call take 2 ms at the best: a fifth of a call."""
    slow_pages = reading(10_000, faults_us=4000)
    without = visit(0.0, faults=0, around=slow_pages)
    waiting = visit(0.0, faults=3 * NEW_PAGES, around=slow_pages)

    assert faults_share(waiting, BEST) == pytest.approx(0.2)
    assert share_delivered(without, BEST) == 1.0
    assert share_delivered(waiting, BEST) == pytest.approx(1 / 1.2)


def test_runs_before_pages_were_counted_go_by_the_arithmetic() -> None:
    of_old = visit(0.0, before=reading(10_000, None), after=reading(15_000, None))
    assert share_delivered(of_old, BEST) == pytest.approx(10_000 / 12_500)
    assert share_delivered(visit(0.0), BEST) is None


def test_noise_of_the_speed_is_that_of_as_many_readings_as_are_near() -> None:
    """Four readings a second for five minutes, visits of one cell in twelve."""
    generator = np.random.default_rng(1)
    trace = Trace()
    readings = [reading(float(us)) for us in 10_000 * np.exp(generator.normal(0, 0.04, 1200))]
    visits = []
    for number, one in enumerate(readings):
        trace.add(BEGIN + 0.25 * number, one)
    for number in range(0, 1200, 12):
        around = trace.around(0.25 * number, 0.25 * number + 0.03)
        visits.append(
            visit(
                0.25 * number,
                before=readings[number],
                after=readings[min(number + 1, 1199)],
                around=reading(float(np.median([one.compute_us for one in around]))),
                readings_around=len(around),
            )
        )

    noise = series_of(visits, BEST).noise

    assert noise.speed == pytest.approx(0.04 * math.sqrt(math.pi / 2 / 16), rel=0.25)
    assert noise.own == pytest.approx(0.04 * math.sqrt(math.pi / 2 / 12), rel=0.25)


def test_a_gpu_has_its_clock_for_a_canary() -> None:
    """Throttled for half of the time: 10 ms at 1,980 MHz, 11 ms at 1,800."""
    generator = np.random.default_rng(2)
    visits = []
    for number in range(80):
        clock_mhz = 1980 if number % 20 < 10 else 1800
        took_ns = round(1e7 * 1980 / clock_mhz * math.exp(generator.normal(0, 0.002)))
        calls = {"samples_ns": (took_ns,) * 3, "window_ns": 3 * took_ns}
        visits.append(visit(0.3 * number, clock_mhz=clock_mhz, **calls))

    series = series_of(visits, None)
    found = estimate_of(series)

    assert series.speeds is not None
    assert math.exp(series.speeds.min()) == pytest.approx(1800 / 1980)
    assert found.basis == "calm visits"
    assert math.exp(found.centre.value) == pytest.approx(10.0, rel=0.003)
    without = series_of([one.replaced(clock_mhz=None) for one in visits], None)
    assert without.speeds is None


def test_a_canary_that_never_moves_is_still_until_one_reading_moves() -> None:
    trace = Trace()
    generator = np.random.default_rng(3)
    for number in range(LATE):
        assert not trace.still
        trace.add(BEGIN + 0.2 * number, reading(float(10_000 * generator.uniform(0.997, 1.003))))
    assert trace.still
    assert trace.age_s(BEGIN + 0.2 * LATE) == pytest.approx(0.2)

    trace.add(BEGIN + 0.2 * LATE, reading(11_000))
    assert not trace.still


def test_no_reading_is_infinitely_old() -> None:
    assert Trace().age_s(BEGIN) == math.inf
