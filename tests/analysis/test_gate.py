"""The gate's outcome: never a pass while the interval crosses the limit, never a regression by
chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.comparison import compare_records
from deploybench.analysis.gate import (
    EXIT_CODES,
    Check,
    Outcome,
    check_rows,
    outcome_of,
    slowdown_of,
    summary_line,
)
from deploybench.results.record import Record
from tests.comparisons import FAR_NS, host, launch, launches, record

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]
CLOSE = st.lists(st.floats(10, 10.4), min_size=3, max_size=9)
ORDER = [Outcome.REGRESSION, Outcome.INCONCLUSIVE, Outcome.PASS]


STEADY_RUNS = OtherRuns(given=0.0)
"""Runs that do not shift as a whole, so that the gate is looked at alone."""


def times(factor: float) -> list[float]:
    return [factor * ms for ms in STEADY]


def gate(
    baseline: Record, candidate: Record, largest: float = 0.05, allowed: tuple[str, ...] = ()
) -> Check:
    rows = compare_records([baseline], [candidate], allowed=allowed, others=STEADY_RUNS)
    (check,) = check_rows(rows, largest)
    return check


@pytest.mark.parametrize(
    ("factor", "outcome", "code"),
    [
        (0.5, Outcome.PASS, 0),
        (1.0, Outcome.PASS, 0),
        (1.02, Outcome.PASS, 0),
        (1.05, Outcome.INCONCLUSIVE, 3),
        (1.10, Outcome.REGRESSION, 1),
    ],
)
def test_outcome_follows_from_where_the_interval_of_the_slowdown_lies(
    factor: float, outcome: Outcome, code: int
) -> None:
    check = gate(record(STEADY), record(times(factor), "after"))
    assert check.outcome is outcome
    assert EXIT_CODES[outcome_of([check])] == code


@given(CLOSE, CLOSE, st.floats(0.8, 1.2), st.floats(0, 0.3))
def test_outcome_says_where_the_whole_interval_is(
    before: list[float], after: list[float], factor: float, largest: float
) -> None:
    check = gate(record(before), record([factor * ms for ms in after], "after"), largest)
    assert check.row.ratio is not None
    found = slowdown_of(check.row.ratio)
    assert found.low <= found.value <= found.high
    if check.outcome is Outcome.PASS:
        assert found.high <= 1 + largest
        assert check.row.ratio.coverage >= 0.95
    if check.outcome is Outcome.REGRESSION:
        assert found.low > 1 + largest
        assert check.row.ratio.coverage >= 0.95


@given(CLOSE, CLOSE, st.floats(0.8, 1.2), st.floats(0, 0.3), st.floats(0, 0.3))
def test_larger_limit_never_makes_the_outcome_worse(
    before: list[float], after: list[float], factor: float, first: float, second: float
) -> None:
    baseline, candidate = record(before), record([factor * ms for ms in after], "after")
    strict, lax = (
        gate(baseline, candidate, largest).outcome for largest in sorted((first, second))
    )
    assert ORDER.index(strict) <= ORDER.index(lax)


@given(CLOSE, CLOSE, st.floats(1.1, 1.5))
def test_regression_one_way_is_a_pass_the_other_way(
    before: list[float], after: list[float], factor: float
) -> None:
    first, second = record(before), record([factor * ms for ms in after], "after")
    there, back = gate(first, second, 0.0), gate(second, first, 0.0)
    if there.outcome is Outcome.REGRESSION:
        assert back.outcome is Outcome.PASS


def test_equal_runs_are_called_a_regression_in_at_most_one_of_twenty_even_with_no_tolerance() -> (
    None
):
    rng = np.random.default_rng(20261121)
    outcomes = [simulated(rng, 1.0, 0.0) for _ in range(400)]
    assert outcomes.count(Outcome.REGRESSION) <= 20
    assert outcomes.count(Outcome.REGRESSION) + outcomes.count(Outcome.INCONCLUSIVE) > 340


def test_real_regression_is_found_and_never_passed() -> None:
    rng = np.random.default_rng(7)
    outcomes = [simulated(rng, 1.12, 0.05) for _ in range(200)]
    assert outcomes.count(Outcome.REGRESSION) > 190
    assert outcomes.count(Outcome.PASS) == 0


def simulated(rng: np.random.Generator, factor: float, largest: float) -> Outcome:
    """Two runs of eight launches with 1 % of scatter between launches."""
    before, after = (10 * np.exp(rng.normal(0, 0.01, 8)) for _ in range(2))
    return gate(
        record(before.tolist()), record((factor * after).tolist(), "after"), largest
    ).outcome


def test_too_few_launches_are_inconclusive_and_say_how_many_more() -> None:
    check = gate(record([10.0, 10.0, 10.0]), record([20.0, 20.0, 20.0], "after"))
    assert check.outcome is Outcome.INCONCLUSIVE
    assert "about 3 more rounds of each run would settle it" in check.reason


def test_run_whose_machine_drifted_is_inconclusive_although_the_interval_would_pass_or_fail() -> (
    None
):
    drifting = [10.0, 10.9, 10.0, 10.9, 10.0, 10.9]
    for factor in (0.5, 2.0):
        check = gate(record(drifting), record(times(factor), "after"))
        assert check.outcome is Outcome.INCONCLUSIVE
        assert "the baseline is DRIFTING" in check.reason


def test_machine_that_moved_between_the_runs_hides_a_small_slowdown_but_not_a_large_one() -> None:
    moved = [
        record(launches(times(factor), compute_us=44.0), "after") for factor in (1.0, 1.1, 1.3)
    ]
    checks = [gate(record(STEADY), candidate) for candidate in moved]
    assert [check.outcome for check in checks] == [
        Outcome.INCONCLUSIVE,
        Outcome.INCONCLUSIVE,
        Outcome.REGRESSION,
    ]
    assert "measure both again" in checks[1].reason


@pytest.mark.parametrize("broken", [{"error": "crashed"}, {"refused": "ran in bf16"}])
def test_candidate_that_no_longer_works_is_a_regression_with_its_cause(
    broken: dict[str, str],
) -> None:
    candidate = record([launch(10.0, precision="bf16", **broken)], "after")
    check = gate(record(STEADY), candidate)
    assert check.outcome is Outcome.REGRESSION
    assert next(iter(broken.values())) in check.reason


def test_baseline_without_a_number_decides_nothing_and_alone_is_inconclusive() -> None:
    check = gate(record([launch(10.0, error="crashed")]), record(STEADY, "after"))
    assert check.outcome is Outcome.SKIPPED
    assert outcome_of([check]) is Outcome.INCONCLUSIVE


def test_missing_cell_is_inconclusive_and_a_new_one_is_passed_over() -> None:
    baseline = [record(STEADY), record(STEADY, model="gone")]
    candidate = [record(STEADY, "after"), record(STEADY, "after", model="new")]
    checks = check_rows(compare_records(baseline, candidate, others=STEADY_RUNS), 0.05)
    assert [check.outcome for check in checks] == [
        Outcome.PASS,
        Outcome.INCONCLUSIVE,
        Outcome.SKIPPED,
    ]
    assert outcome_of(checks) is Outcome.INCONCLUSIVE
    assert outcome_of([checks[0], checks[2]]) is Outcome.PASS
    assert summary_line(checks, 0.05) == (
        "INCONCLUSIVE: 1 inconclusive, 1 of 2 at most 5 % slower than the baseline, 1 passed over"
    )


def test_unlike_rows_are_inconclusive_until_they_are_allowed() -> None:
    candidate = record(STEADY, "after", machine=host(hostname="there"))
    assert gate(record(STEADY), candidate).outcome is Outcome.INCONCLUSIVE
    assert gate(record(STEADY), candidate, allowed=("host",)).outcome is Outcome.PASS


def test_state_that_was_seen_too_rarely_decides_nothing_beside_one_that_was_seen_enough() -> None:
    rare = launch(30.0, 9, hop_ns=FAR_NS)
    before, after = record([*launches(STEADY), rare]), record([*launches(times(2)), rare], "after")
    checks = check_rows(compare_records([before], [after]), 0.05)
    assert [check.outcome for check in checks] == [Outcome.REGRESSION, Outcome.SKIPPED]
    (alone,) = check_rows(compare_records([record([rare])], [record([rare], "after")]), 0.05)
    assert alone.outcome is Outcome.INCONCLUSIVE


def test_one_regression_outweighs_everything_else() -> None:
    row = gate(record(STEADY), record(STEADY, "after")).row
    checks = [Check(row, outcome, "") for outcome in Outcome]
    assert outcome_of(checks) is Outcome.REGRESSION
    assert outcome_of([]) is Outcome.INCONCLUSIVE
