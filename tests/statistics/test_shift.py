"""By how much whole runs shift: as runs of one thing show it, or as it is assumed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploybench.statistics.ratios import Ratio
from deploybench.statistics.shift import (
    ASSUMED_SHIFT,
    ASSUMED_SHIFT_UNDISTURBED,
    assumed_shift,
    estimated_shift,
    shifted,
)


def test_assumed_shift_makes_a_ratio_of_two_runs_twice_as_wide_as_a_run_and_root_2() -> None:
    shift = assumed_shift(0.03)
    assert shift.half_width == pytest.approx(1.96 * math.sqrt(2) * 0.03, rel=1e-3)
    assert shift.runs == 0


def test_figure_for_undisturbed_times_is_that_of_the_four_cells_measured_twice() -> None:
    before, after = [43.21, 43.37, 42.15, 60.8], [43.20, 43.06, 42.11, 59.6]
    logs = [math.log(first / second) for first, second in zip(before, after, strict=True)]
    deviation = math.sqrt(sum(log**2 for log in logs) / len(logs))
    student_of_four = 2.776
    assert assumed_shift(ASSUMED_SHIFT_UNDISTURBED).half_width == pytest.approx(
        student_of_four * deviation, rel=0.05
    )
    assert ASSUMED_SHIFT_UNDISTURBED < ASSUMED_SHIFT


def test_three_runs_are_too_few_and_four_tell_with_student_s_t() -> None:
    times = [10.0, 10.1, 9.9]
    assert estimated_shift([times]) is None
    shift = estimated_shift([[*times, 10.0]])
    assert shift is not None
    deviation = float(np.std(np.log([*times, 10.0]), ddof=1))
    assert shift.deviation == pytest.approx(deviation)
    assert shift.half_width == pytest.approx(3.182 * math.sqrt(2) * deviation, rel=1e-3)
    assert shift.runs == 4


def test_what_two_things_differ_by_is_no_shift() -> None:
    shift = estimated_shift([[10.0, 10.1, 10.0], [20.0, 20.2, 20.0, 20.2], [5.0]])
    assert shift is not None
    assert shift.deviation < 0.01
    assert shift.runs == 7


def test_interval_of_runs_that_shift_is_as_wide_as_both_errors_together() -> None:
    wider = shifted(
        Ratio(1.0, 1 / 1.03, 1.03, 0.95, 8, paired=False), assumed_shift(0.04 / 1.96 / math.sqrt(2))
    )
    assert math.log(wider.high) == pytest.approx(math.hypot(math.log(1.03), 0.04), rel=1e-3)
    assert math.log(wider.low) == pytest.approx(-math.log(wider.high))
    assert shifted(wider, assumed_shift(0.0)).high == pytest.approx(wider.high)


@pytest.mark.parametrize("deviation", [0.01, 0.02, 0.03])
def test_two_runs_of_one_thing_differ_by_more_than_the_shift_in_one_of_twenty(
    deviation: float,
) -> None:
    """Assumed or estimated, with the runs that it was estimated from or without any."""
    rng = np.random.default_rng(20261127)
    trials = 1500
    beyond_assumed = beyond_estimated = 0
    for _ in range(trials):
        runs = np.exp(rng.normal(0, deviation, 5))
        apart = abs(math.log(runs[3] / runs[4]))
        beyond_assumed += apart > assumed_shift(ASSUMED_SHIFT).half_width
        shift = estimated_shift([runs[:4].tolist()])
        assert shift is not None
        beyond_estimated += apart > shift.half_width
    assert beyond_assumed <= 0.065 * trials
    assert beyond_estimated <= 0.065 * trials
    assert beyond_estimated >= 0.01 * trials
