"""One cell in two runs: the shift of whole runs is in the interval, as shown or as assumed."""

from __future__ import annotations

import math

import pytest

from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.comparison import (
    Comparison,
    answer_of,
    compare_records,
    rounds_to_settle,
    what_settles,
    width_that_answers,
)
from deploybench.analysis.gate import Outcome, check_rows
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer
from deploybench.statistics.shift import ASSUMED_SHIFT, assumed_shift
from tests.comparisons import host, record

STEADY = [10.0, 10.01, 9.99, 10.005, 9.995, 10.002]
ASSUMED_WIDTH = assumed_shift(ASSUMED_SHIFT).half_width


def times(factor: float) -> list[float]:
    return [factor * ms for ms in STEADY]


def run(factor: float, name: str, **changes: object) -> Record:
    return record(times(factor), name, created=f"2026-01-01T00:00:0{len(name)}", **changes)


def compared(old: Record, new: Record, others: OtherRuns = OtherRuns()) -> Comparison:  # noqa: B008
    (row,) = compare_records([old], [new], others=others)
    return row


def width(row: Comparison) -> float:
    assert row.ratio is not None
    return math.log(row.ratio.high / row.ratio.value)


@pytest.mark.parametrize("factor", [0.93, 0.97, 1.03, 1.07])
def test_difference_that_whole_runs_may_differ_by_is_never_called_faster_or_slower(
    factor: float,
) -> None:
    row = compared(run(1, "before"), run(factor, "after"))
    assert answer_of(row) is Answer.AMBIGUOUS
    assert row.run_shift is not None
    assert (row.run_shift.deviation, row.run_shift.runs) == (ASSUMED_SHIFT, 0)
    assert width(row) == pytest.approx(ASSUMED_WIDTH, rel=0.01)
    assert answer_of(compared(run(1, "before"), run(1.1, "after"))) is Answer.SLOWER


def test_runs_of_the_same_thing_tell_their_shift_and_make_small_differences_known() -> None:
    runs = [run(factor, f"r{index}") for index, factor in enumerate((1, 1.002, 0.998, 1.001))]
    row = compared(run(1, "before"), run(0.95, "after"), OtherRuns(records=runs))
    assert row.run_shift is not None
    assert row.run_shift.runs == 5  # the candidate is the same thing, and is left out
    assert row.run_shift.deviation < 0.002
    assert answer_of(row) is Answer.FASTER


def test_runs_that_a_side_holds_tell_the_shift_and_the_latest_counts() -> None:
    factors = (1.0, 1.02, 0.98, 1.01, 1.0)
    old = [
        record(times(factor), f"r{index}", created=f"2026-01-0{index + 1}")
        for index, factor in enumerate(factors)
    ]
    (row,) = compare_records(old, [run(1.5, "after", artifact_key="n" * 64)])
    assert row.run_shift is not None
    assert (row.run_shift.runs, row.baseline and row.baseline.run) == (5, "r4")
    assert 0.01 < row.run_shift.deviation < 0.02


@pytest.mark.parametrize(
    "unlike",
    [
        {"artifact_key": "o" * 64},
        {"batch": 2},
        {"versions": {"onnxruntime": "1.0"}},
        {"machine": host(hostname="there")},
    ],
)
def test_runs_of_another_thing_tell_nothing_of_this_one(unlike: dict[str, object]) -> None:
    others = [run(factor, f"r{index}", **unlike) for index, factor in enumerate((1, 2, 3, 4, 5))]
    row = compared(run(1, "before"), run(1, "after"), OtherRuns(records=others))
    assert row.run_shift == assumed_shift(ASSUMED_SHIFT)


def test_the_two_that_are_compared_are_no_evidence_of_their_own_difference() -> None:
    runs = [run(1, f"r{index}") for index in range(4)]
    row = compared(run(1, "before"), run(1.2, "after"), OtherRuns(records=runs))
    assert row.run_shift is not None
    assert row.run_shift.deviation == pytest.approx(0, abs=1e-9)
    assert answer_of(row) is Answer.SLOWER


def test_shift_that_the_user_gives_is_taken_whatever_runs_there_are() -> None:
    runs = [run(factor, f"r{index}") for index, factor in enumerate((1, 2, 3, 4, 5))]
    row = compared(run(1, "before"), run(1, "after"), OtherRuns(records=runs, given=0.001))
    assert row.run_shift == assumed_shift(0.001)
    assert answer_of(row) is Answer.SAME


def test_rounds_do_not_promise_what_whole_runs_that_shift_hide() -> None:
    row = compared(run(1, "before"), run(1.05, "after"))
    wanted = width_that_answers(row)
    assert wanted is not None
    assert rounds_to_settle(row, wanted) is None
    assert "in one run (gate --rerun-baseline)" in what_settles(row, wanted)
    assert "whole runs shift" in what_settles(row, wanted)


def test_rounds_that_settle_are_those_of_the_launches_part_alone() -> None:
    wide = [10 + step / 2 for step in (-3, -2, -1, 1, 2, 3)]
    old, new = record(wide), record([1.13 * ms for ms in wide], "after")
    shifting, steady = compared(old, new), compared(old, new, OtherRuns(given=0.0))
    rounds = [rounds_to_settle(row, 0.12) for row in (steady, shifting)]
    assert rounds[0] is not None
    assert rounds[1] is not None
    assert 0 < rounds[0] < rounds[1]


def test_gate_of_records_says_what_would_tell_where_whole_runs_shift() -> None:
    (check,) = check_rows([compared(run(1, "before"), run(1.02, "after"))], 0.05)
    assert check.outcome is Outcome.INCONCLUSIVE
    assert "measure both again, in one run (gate --rerun-baseline)" in check.reason
    (check,) = check_rows([compared(run(1, "before"), run(1.2, "after"))], 0.05)
    assert check.outcome is Outcome.REGRESSION
