"""Two runs of the same thing are called unequal no more often than is promised.

The fast and seeded form of ``benchmarks/between_runs.py``.
"""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.between_runs import EARLIER, KINDS, SHIFTS, tally
from deploybench.analysis.between_runs import OtherRuns

TRIALS = 60
IMPLAUSIBLE = 0.999
MOST_ALARMS = int(binom.ppf(IMPLAUSIBLE, TRIALS, 0.05))
"""More than this a comparison that keeps its promise has once in a thousand seeds."""


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("earlier", [0, EARLIER])
def test_runs_of_launches_that_shift_as_a_whole_are_not_called_unequal(
    shift: float, earlier: int
) -> None:
    found = tally(KINDS["launches"], shift, earlier, TRIALS)
    assert found.judged == TRIALS
    assert found.false_alarms * TRIALS <= MOST_ALARMS
    assert found.gates["REGRESSION"] <= MOST_ALARMS


def test_without_the_shift_they_are_called_unequal_very_often() -> None:
    """So that the test above can fail."""
    found = tally(KINDS["launches"], 0.02, 0, TRIALS, others=OtherRuns(given=0.0))
    assert found.false_alarms > 0.3


def test_earlier_runs_that_shift_little_find_what_an_assumed_shift_hides() -> None:
    alone, among_others = (tally(KINDS["launches"], 0.01, runs, TRIALS) for runs in (0, EARLIER))
    assert alone.found_smaller < 0.1 * TRIALS
    assert among_others.found_smaller > 0.4 * TRIALS
    assert alone.found_larger > 0.6 * TRIALS


@pytest.mark.parametrize(
    ("kind", "shift"),
    [("visits, all of it seen", 0.03), ("visits, two thirds seen", 0.03)],
)
def test_runs_of_visits_are_not_called_unequal_where_the_canary_sees_most_of_the_shift(
    kind: str, shift: float
) -> None:
    trials = 12
    found = tally(KINDS[kind], shift, 0, trials)
    # Of runs that stayed farther off than 3 % some are not VALID.
    assert found.judged >= 0.6 * trials
    assert found.answers["FASTER"] + found.answers["SLOWER"] <= binom.ppf(IMPLAUSIBLE, trials, 0.05)
    assert found.found_smaller >= 0.6 * found.judged


@pytest.mark.parametrize("kind", ["visits, all of it seen", "visits, two thirds seen"])
def test_runs_of_visits_near_full_speed_can_be_judged(kind: str) -> None:
    assert tally(KINDS[kind], 0.01, 0, 12).judged >= 10
