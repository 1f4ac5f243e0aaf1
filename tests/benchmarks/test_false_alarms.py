"""The whole engine on simulated machines: equal things are not called unequal, unequal ones are,
intervals hold.

The fast and seeded form of ``benchmarks/false_alarms.py``: fewer trials, and launches of fewer
samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from scipy.stats import binom

from benchmarks import false_alarms, simulated
from benchmarks.false_alarms import Tally, tally
from benchmarks.simulated import KINDS

TRIALS = 20
SAMPLES = 16
IMPLAUSIBLE = 0.001
"""A bound that an engine which keeps its promise misses once in a thousand seeds."""


@pytest.fixture(scope="module", autouse=True)
def _short_launches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulated, "SAMPLES", SAMPLES)
        yield


@pytest.fixture(scope="module")
def same_twice(_short_launches: None) -> dict[str, Tally]:
    """A/A comparisons on each kind of machine."""
    return {kind: tally(kind, TRIALS) for kind in KINDS}


def test_the_same_thing_twice_is_called_unequal_in_5_of_100_comparisons_at_most(
    same_twice: dict[str, Tally],
) -> None:
    total: Counter[str] = sum((found.answers for found in same_twice.values()), Counter())
    assert sum(total.values()) == TRIALS * len(KINDS)
    assert total["FASTER"] + total["SLOWER"] <= 0.05 * sum(total.values())


def test_the_same_thing_twice_is_called_the_same_on_a_machine_that_is_stable_or_drifts(
    same_twice: dict[str, Tally],
) -> None:
    for kind in ("stable", "drifting"):
        assert same_twice[kind].answers["SAME"] >= 0.9 * TRIALS, kind


def test_intervals_hold_the_truth_as_often_as_they_promise(same_twice: dict[str, Tally]) -> None:
    for kind, found in same_twice.items():
        assert found.with_interval >= 0.9 * TRIALS, kind
        assert found.covered >= binom.ppf(IMPLAUSIBLE, found.with_interval, 0.95), kind
    covered = sum(found.covered for found in same_twice.values())
    count = sum(found.with_interval for found in same_twice.values())
    assert binom.ppf(IMPLAUSIBLE, count, 0.95) <= covered < count, (
        "intervals that never miss are too wide"
    )


def test_every_comparison_goes_on_until_it_is_precise_or_its_budget_is_spent(
    same_twice: dict[str, Tally],
) -> None:
    rounds = {kind: found.rounds / TRIALS for kind, found in same_twice.items()}
    assert min(rounds.values()) >= 6
    assert max(rounds.values()) <= false_alarms.RULE.budget_s / simulated.LAUNCH_SECONDS
    assert rounds["stable"] < rounds["bimodal"]


def test_candidate_that_is_3_percent_slower_is_found_on_a_stable_machine() -> None:
    found = tally("stable", TRIALS, factor=1.03)
    assert found.answers["SLOWER"] >= 0.9 * TRIALS
    assert found.answers["FASTER"] == 0
    assert found.covered >= binom.ppf(IMPLAUSIBLE, found.with_interval, 0.95)


@pytest.mark.parametrize("kind", ["drifting", "bimodal, seen by the probe"])
def test_candidate_that_is_10_percent_slower_is_found_on_a_machine_that_moves(kind: str) -> None:
    found = tally(kind, 8, factor=1.1)
    assert found.answers["SLOWER"] >= 7
    assert found.answers["FASTER"] == 0
