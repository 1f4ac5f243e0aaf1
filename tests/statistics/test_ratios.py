"""Ratios and their intervals against scipy's exact tests, and the answers that follow from them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, wilcoxon

from deploybench.statistics.ratios import (
    MOST_ROUNDS,
    Answer,
    Ratio,
    answer,
    half_width_that_settles,
    more_rounds,
    paired_ratio,
    unpaired_ratio,
)

RATIO = st.floats(0.2, 5)
TIMES = st.lists(st.floats(1, 100), min_size=4, max_size=9, unique=True)


def ratio(
    low: float, high: float, value: float | None = None, *, coverage: float = 0.96, count: int = 10
) -> Ratio:
    return Ratio(value or math.sqrt(low * high), low, high, coverage, count, paired=True)


def distinct(values: list[float]) -> bool:
    """Whether no two values are so near that rounding decides their order."""
    ordered = sorted(values)
    return all(b - a > 1e-9 for a, b in itertools.pairwise(ordered))


@pytest.mark.parametrize(
    ("count", "coverage"), [(5, 0.9375), (6, 0.96875), (7, 0.953125), (10, 0.951171875)]
)
def test_coverage_of_paired_rounds_is_that_of_the_signed_rank_table(
    count: int, coverage: float
) -> None:
    found = paired_ratio(np.exp(np.linspace(0.1, 0.9, count) ** 2).tolist())
    assert found is not None
    assert found.coverage == pytest.approx(coverage)


@given(st.lists(RATIO, min_size=6, max_size=14), st.floats(0.2, 5))
def test_paired_interval_leaves_a_value_out_exactly_when_the_signed_rank_test_rejects_it(
    ratios: list[float], value: float
) -> None:
    logs = np.log(ratios) - math.log(value)
    first, second = np.triu_indices(len(logs))
    assume(distinct(np.abs(logs).tolist()) and np.min(np.abs(logs[first] + logs[second])) > 1e-9)
    found = paired_ratio(ratios)
    assert found is not None
    rejected = wilcoxon(logs, method="exact").pvalue <= 0.05
    assert rejected == (not found.low <= value <= found.high)


@given(TIMES, TIMES, st.floats(0.1, 10))
def test_unpaired_interval_leaves_a_value_out_exactly_when_the_rank_sum_test_rejects_it(
    baseline: list[float], candidate: list[float], value: float
) -> None:
    first, second = np.log(baseline) - math.log(value), np.log(candidate)
    assume(distinct([*first, *second]))
    found = unpaired_ratio(baseline, candidate)
    assert found is not None
    rejected = mannwhitneyu(first, second, method="exact").pvalue <= 0.05
    if found.coverage >= 0.95:
        assert rejected == (not found.low <= value <= found.high)


@pytest.mark.parametrize(("first", "second"), [(4, 4), (3, 9), (6, 6), (7, 12), (1, 5)])
def test_coverage_of_two_runs_is_what_the_exact_rank_sum_test_says_of_its_ends(
    first: int, second: int
) -> None:
    draw = np.random.default_rng(first * 100 + second)
    baseline, candidate = draw.uniform(1, 2, first).tolist(), draw.uniform(1, 2, second).tolist()
    found = unpaired_ratio(baseline, candidate)
    assert found is not None
    just_below = np.log(baseline) - math.log(found.low) + 1e-9
    p_value = mannwhitneyu(just_below, np.log(candidate), method="exact").pvalue
    assert found.coverage == pytest.approx(1 - p_value)
    assert found.count == min(first, second)
    assert not found.paired


@given(st.lists(RATIO, min_size=1, max_size=15))
def test_swapped_sides_give_the_inverse_when_paired(ratios: list[float]) -> None:
    there, back = paired_ratio(ratios), paired_ratio([1 / value for value in ratios])
    assert there is not None
    assert back is not None
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 / there.value, 1 / there.high, 1 / there.low)
    )
    assert back.coverage == there.coverage


@given(TIMES, TIMES)
def test_swapped_sides_give_the_inverse_when_unpaired(
    baseline: list[float], candidate: list[float]
) -> None:
    there, back = unpaired_ratio(baseline, candidate), unpaired_ratio(candidate, baseline)
    assert there is not None
    assert back is not None
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 / there.value, 1 / there.high, 1 / there.low)
    )
    assert back.coverage == pytest.approx(there.coverage)


@given(st.lists(RATIO, min_size=2, max_size=15))
def test_centre_lies_inside_its_interval_and_the_interval_inside_the_range(
    ratios: list[float],
) -> None:
    found = paired_ratio(ratios)
    assert found is not None
    assert min(ratios) * (1 - 1e-9) <= found.low <= found.value * (1 + 1e-9)
    assert found.value * (1 - 1e-9) <= found.high <= max(ratios) * (1 + 1e-9)


def test_one_round_in_which_the_machine_changed_state_does_not_move_the_centre_but_the_mean() -> (
    None
):
    """What A/A launches gave: eleven rounds within 1 %, one of 65.6 ms against 47.8 ms."""
    steady = np.exp(np.random.default_rng(5).normal(0, 0.005, 11)).tolist()
    with_flip = [*steady, 65.6 / 47.8]
    calm, found = paired_ratio(steady), paired_ratio(with_flip)
    assert calm is not None
    assert found is not None
    assert abs(found.value - 1) < 0.005
    assert abs(found.value / calm.value - 1) < 0.005
    assert found.low <= 1 <= found.high
    assert math.exp(np.mean(np.log(with_flip))) > 1.02


@pytest.mark.parametrize("count", [6, 9, 16])
def test_paired_interval_holds_the_truth_in_at_least_95_of_100_experiments(count: int) -> None:
    draws = np.exp(0.1 + np.random.default_rng(count).standard_t(3, (1000, count)) * 0.01)
    found = [paired_ratio(row) for row in draws.tolist()]
    covered = np.mean(
        [item is not None and item.low <= math.exp(0.1) <= item.high for item in found]
    )
    assert 0.94 <= covered <= 0.985


def test_unpaired_interval_holds_the_truth_in_at_least_95_of_100_experiments() -> None:
    draw = np.random.default_rng(2)
    baseline, candidate = (
        np.exp(draw.normal(0.1, 0.01, (1000, 8))),
        np.exp(draw.normal(0, 0.01, (1000, 10))),
    )
    found = [
        unpaired_ratio(a, b) for a, b in zip(baseline.tolist(), candidate.tolist(), strict=True)
    ]
    covered = np.mean(
        [item is not None and item.low <= math.exp(0.1) <= item.high for item in found]
    )
    assert 0.94 <= covered <= 0.985


def test_ratio_is_absent_without_pairs_and_admits_that_one_pair_covers_nothing() -> None:
    assert paired_ratio([]) is None
    assert unpaired_ratio([], [1.0]) is None
    assert unpaired_ratio([1.0], []) is None
    assert paired_ratio([2.0]) == Ratio(
        pytest.approx(2), pytest.approx(2), pytest.approx(2), 0.0, 1, True
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ratio(1.001, 1.3), Answer.FASTER),
        (ratio(0.7, 0.999), Answer.SLOWER),
        (ratio(0.99, 1.01), Answer.SAME),
        (ratio(1.001, 1.019), Answer.SAME),
        (ratio(0.985, 0.999), Answer.SAME),
        (ratio(0.99, 1.03), Answer.AMBIGUOUS),
        (ratio(1.001, 1.03), Answer.AMBIGUOUS),  # not 1, but its centre is within the margin
        (ratio(0.965, 0.999), Answer.AMBIGUOUS),
        (ratio(0.97, 1.01), Answer.AMBIGUOUS),
        (ratio(1.0, 1.05), Answer.AMBIGUOUS),
        (ratio(1.5, 1.6, coverage=0.9375), Answer.AMBIGUOUS),
        (None, Answer.AMBIGUOUS),
    ],
)
def test_answer_is_what_the_interval_shows_at_a_margin_of_2_percent(
    found: Ratio | None, expected: Answer
) -> None:
    assert answer(found) is expected


def test_margin_decides_what_is_the_same() -> None:
    assert answer(ratio(1.01, 1.04), margin=0.05) is Answer.SAME
    assert answer(ratio(1.01, 1.04), margin=0.02) is Answer.FASTER
    assert answer(ratio(0.999, 1.001), margin=0.0) is Answer.AMBIGUOUS


def test_margin_is_the_same_for_both_sides() -> None:
    assert answer(ratio(1 / 1.02, 1.0), margin=0.02) is Answer.SAME
    assert answer(ratio(0.98, 1.0), margin=0.02) is Answer.AMBIGUOUS, (
        "0.98 is slower by more than 2 %"
    )


@given(st.floats(0.5, 2), st.floats(0.001, 0.2))
def test_interval_that_settles_is_no_longer_ambiguous_and_a_wider_one_may_be(
    centre: float, margin: float
) -> None:
    width = half_width_that_settles(ratio(1, 1, centre), margin)
    assume(width > 1e-6)
    settled = ratio(centre * math.exp(-0.999 * width), centre * math.exp(0.999 * width), centre)
    wider = ratio(centre * math.exp(-1.01 * width), centre * math.exp(1.01 * width), centre)
    assert answer(settled, margin) is not Answer.AMBIGUOUS
    assert answer(wider, margin) is Answer.AMBIGUOUS


def test_more_rounds_go_with_the_square_of_how_much_narrower_the_interval_shall_be() -> None:
    assert more_rounds(10, 0.02, 0.01) == 30
    assert more_rounds(10, 0.01, 0.01) == 0
    assert more_rounds(10, 0.010001, 0.01) == 1
    assert more_rounds(4, 0.5, 0.01) == 2, "six rounds before anything can be said"
    assert more_rounds(10, 0.01, 0.0) > MOST_ROUNDS, (
        "no number of rounds tells on which side of the margin it is"
    )


def test_half_width_is_that_of_the_farther_end_relative_to_the_centre() -> None:
    assert ratio(1.8, 2.4, 2.0).half_width == pytest.approx(0.2)
    assert ratio(1.4, 2.1, 2.0).half_width == pytest.approx(0.3)
