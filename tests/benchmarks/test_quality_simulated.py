"""The fast and seeded form of ``benchmarks/quality_simulated.py``."""

from __future__ import annotations

from scipy.stats import binom

from benchmarks.quality_simulated import coverage, pairs

SETS = 60
IMPLAUSIBLE = 0.001
FEWEST_COVERED = int(binom.ppf(IMPLAUSIBLE, SETS, 0.94))
MOST_ALARMS = int(binom.ppf(1 - IMPLAUSIBLE, 1000, 0.05))


def test_intervals_hold_what_the_population_has() -> None:
    found = coverage(SETS, images=400, seed=1, population=100_000)
    assert len(found) == 16
    assert {name: share for name, share in found.items() if share * SETS < FEWEST_COVERED} == {}


def test_two_that_are_equally_good_are_seldom_called_different() -> None:
    same = pairs(1000, images=500, seed=1)
    assert same.alarms * 1000 <= MOST_ALARMS
    assert same.covered > 0.93
    better = pairs(300, images=500, seed=1, better_by=0.05)
    assert better.alarms > 5 * same.alarms
    assert better.covered > 0.92
