"""One cell in two runs: the shift of whole runs is in the interval, as shown or as assumed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.between_runs import BEST, launch_of, record_of, visits_record
from deploybench.analysis.between_runs import NO_OTHERS, OtherRuns
from deploybench.analysis.comparison import (
    Comparison,
    answer_of,
    compare_records,
    rounds_to_settle,
    what_settles,
    width_that_answers,
)
from deploybench.analysis.gate import Outcome, check_rows
from deploybench.analysis.matching import read_axis
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Answer
from deploybench.statistics.shift import ASSUMED_SHIFT, ASSUMED_SHIFT_UNDISTURBED, assumed_shift
from tests.comparisons import host, record

Floats = npt.NDArray[np.float64]
STEADY = [10.0, 10.01, 9.99, 10.005, 9.995, 10.002]
ASSUMED_WIDTH = assumed_shift(ASSUMED_SHIFT).half_width


def times(factor: float) -> list[float]:
    return [factor * ms for ms in STEADY]


def run(factor: float, name: str, **changes: object) -> Record:
    return record(times(factor), name, created=f"2026-01-01T00:00:0{len(name)}", **changes)


def compared(old: Record, new: Record, others: OtherRuns = NO_OTHERS) -> Comparison:
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


VISITS = 120
FULL_SPEED = np.zeros(VISITS)
NOISE = np.random.default_rng(3).normal(0, 0.004, VISITS)


def visits_run(factor: float, name: str, speeds: Floats = FULL_SPEED, **changes: Any) -> Record:
    """A cell of ``factor`` x 10 ms that slows as the machine does."""
    return visits_record(math.log(factor) - speeds + NOISE, speeds, run=name, **changes)


def half_speed(share: float) -> Floats:
    """Half of the visits at full speed, half at that share of it."""
    return np.where(np.arange(VISITS) % 4 < 2, 0.0, math.log(share))


def test_runs_with_visits_are_compared_at_equal_delivered_speed() -> None:
    old = visits_run(1.0, "before", half_speed(0.6))
    new = visits_run(0.9, "after")
    row = compared(old, new)
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(1 / 0.9, rel=0.005)
    assert row.times == "undisturbed times"
    assert answer_of(row) is Answer.FASTER
    assert row.baseline is not None
    assert row.baseline.p50_ms == pytest.approx(10, rel=0.005)
    assert any("as experienced" in note for note in row.notes)
    assert row.run_shift == assumed_shift(ASSUMED_SHIFT_UNDISTURBED)


def test_runs_with_visits_may_differ_by_what_whole_runs_shift() -> None:
    row = compared(visits_run(1.0, "before"), visits_run(1.025, "after"))
    assert width(row) > assumed_shift(ASSUMED_SHIFT_UNDISTURBED).half_width
    assert answer_of(row) is Answer.AMBIGUOUS
    steady = OtherRuns(given=0.0)
    certain = compared(visits_run(1.0, "before"), visits_run(1.025, "after"), steady)
    assert answer_of(certain) is Answer.SLOWER
    turned = compared(visits_run(1.025, "after"), visits_run(1.0, "before"))
    assert row.ratio is not None
    assert turned.ratio is not None
    assert turned.ratio.low == pytest.approx(1 / row.ratio.high)


def test_run_that_only_looked_calm_is_not_judged_once_the_other_run_knew_a_better_best() -> None:
    """The machine gave 81 % of its speed for all of the first run, which knew no better."""
    slow = np.full(VISITS, math.log(0.81))
    seen = BEST.replaced(compute_us=BEST.compute_us / 0.81, memory_us=BEST.memory_us / 0.81)
    old = visits_run(1.0, "before", slow, best=seen)
    assert old.judgement.verdict is Verdict.VALID
    row = compared(old, visits_run(1.0, "after"))
    assert row.baseline is not None
    assert row.baseline.verdict is not Verdict.VALID
    assert answer_of(row) is Answer.AMBIGUOUS
    assert any("estimated again" in note and "23.5% faster" in note for note in row.notes)
    turned = compared(visits_run(1.0, "before"), visits_run(1.0, "after", slow, best=seen))
    assert turned.candidate is not None
    assert turned.candidate.verdict is not Verdict.VALID


def test_bests_of_two_hosts_have_nothing_in_common() -> None:
    slow = np.full(VISITS, math.log(0.81))
    seen = BEST.replaced(compute_us=BEST.compute_us / 0.81, memory_us=BEST.memory_us / 0.81)
    old = visits_run(1.0, "before", slow, best=seen)
    there = old.replaced(host=old.host.replaced(hostname="there"))
    (row,) = compare_records([there], [visits_run(1.0, "after")], allowed=["host"])
    assert row.baseline is not None
    assert row.baseline.verdict is Verdict.VALID


def test_run_with_visits_and_one_of_launches_are_compared_as_experienced_and_say_so() -> None:
    launched = record_of([launch_of(number, 10_000_000) for number in range(6)], run="before")
    row = compared(launched, visits_run(0.8, "after", half_speed(0.8)))
    assert row.ratio is not None
    assert row.times == "times as experienced"
    assert 1.0 < row.ratio.value < 1 / 0.8
    assert row.run_shift == assumed_shift(ASSUMED_SHIFT)
    assert any("the baseline is of launches" in note for note in row.notes)
    assert answer_of(compared(launched, visits_run(0.8, "after"))) is Answer.FASTER


def test_runs_of_visits_tell_their_own_shift_and_those_that_are_not_valid_do_not() -> None:
    runs = [visits_run(factor, f"r{factor}") for factor in (1.0, 1.002, 0.999, 1.001)]
    row = compared(visits_run(1.0, "before"), visits_run(0.98, "after"), OtherRuns(records=runs))
    assert row.run_shift is not None
    assert (row.run_shift.runs, answer_of(row, 0.01)) == (5, Answer.FASTER)
    unseen = [
        visits_run(factor, f"r{factor}", np.full(VISITS, math.log(0.5))) for factor in (1, 2, 3, 4)
    ]
    row = compared(visits_run(1.0, "before"), visits_run(0.98, "after"), OtherRuns(records=unseen))
    assert row.run_shift == assumed_shift(ASSUMED_SHIFT_UNDISTURBED)


def test_too_few_visits_for_an_interval_are_inconclusive() -> None:
    few = FULL_SPEED[:6]
    records = [visits_record(NOISE[:6], few, run=name) for name in ("before", "after")]
    (check,) = check_rows([compared(*records)], 0.05)
    assert check.outcome is Outcome.INCONCLUSIVE
    assert "6 visits give no 95 % interval" in check.reason


def test_visits_of_one_run_are_paired_and_no_shift_of_whole_runs_is_reckoned_with() -> None:
    old, new = visits_run(1.0, "one"), visits_run(0.99, "one")
    new = new.replaced(cell=new.cell.replaced(runner="other"))
    (row,) = compare_records([old], [new], across=read_axis("runner=simulated,other"))
    assert row.ratio is not None
    assert row.ratio.paired
    assert (row.run_shift, row.times) == (None, "visits")
