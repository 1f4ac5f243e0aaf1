"""The search of a tuning on made-up times and answers: who wins, who does not, and what a killed
one goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.analysis.amounts import Quantity
from deploybench.analysis.constraints import Fit
from deploybench.analysis.tuned import Tuned
from deploybench.report.tune_table import tune_report
from deploybench.report.tune_text import answer, reason_words
from deploybench.tuning.events import TuneRemarked
from tests.tuning.made_up import MadeUp

EAGER, ORT, OPENVINO = ("pytorch", "fp32"), ("onnxruntime", "fp32"), ("openvino", "fp32")
BF16, INT8 = ("openvino", "bf16"), ("openvino", "int8")
MIXED = ("openvino", "int8-mixed")
TIMES = {EAGER: 40.0, ORT: 25.0, OPENVINO: 20.0, BF16: 12.0, INT8: 6.0}


def outcome(made: MadeUp, root: Path, patch: pytest.MonkeyPatch, **changes: object) -> Tuned:
    search = made.search(root, patch, **changes)
    search.carry_out()
    found = search.outcome()
    assert found is not None
    return found


def winner(found: Tuned) -> tuple[str, str]:
    assert found.winner is not None
    cell = found.winner.candidate.record.cell
    return cell.runner, cell.precision


def reasons(found: Tuned) -> dict[tuple[str, str], str]:
    words = {}
    for one in found.outcomes:
        cell = one.assessment.candidate.record.cell
        words[cell.runner, cell.precision] = reason_words(one, found)
    return words


def test_fastest_within_the_drop_wins_with_an_interval_against_eager_and_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(MadeUp(TIMES), tmp_path, monkeypatch)
    assert winner(found) == INT8
    assert found.over_eager is not None
    assert found.over_eager.value == pytest.approx(40 / 6, rel=0.01)
    assert found.over_eager.low < found.over_eager.value < found.over_eager.high
    assert found.runner_up is not None
    assert found.runner_up.ratio is not None
    assert found.runner_up.ratio.value == pytest.approx(2.0, rel=0.02)
    why = reasons(found)
    assert why[ORT].startswith("slower: ")
    assert len(why) == 5


def test_one_that_loses_too_much_is_shown_as_over_the_limit_and_never_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of int8 that was calibrated with noise: by far the fastest, and wrong."""
    found = outcome(MadeUp(TIMES, wrong={INT8: 0.3}), tmp_path, monkeypatch)
    assert winner(found) == BF16
    why = reasons(found)[INT8]
    assert why.startswith("over the limit: drop of accuracy 30.0 %")
    # Its time stands in the table all the same.
    shown = {one.assessment.candidate.record.cell.precision: one for one in found.outcomes}
    assert shown["int8"].assessment.candidate.amounts[Quantity.P50].value is not None
    assert shown["int8"].assessment.fit is Fit.FAILS


def test_what_may_lose_too_much_gets_more_images_and_drives_nobody_out_until_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp(TIMES, wrong={INT8: 0.005}, counts=(200, 4000))
    found = outcome(made, tmp_path, monkeypatch)
    assert winner(found) == INT8
    assert (1, ("openvino int8",)) in made.evaluated
    found = outcome(
        MadeUp(TIMES, wrong={INT8: 0.005}, counts=(200,)), tmp_path / "few", monkeypatch
    )
    assert winner(found) == BF16
    assert reasons(found)[INT8].startswith("not known to be allowed: drop of accuracy: 0.5 %")


def test_two_of_one_speed_are_said_to_be_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(MadeUp({**TIMES, BF16: 6.01}), tmp_path, monkeypatch)
    assert {winner(found)} | {
        (
            one.assessment.candidate.record.cell.runner,
            one.assessment.candidate.record.cell.precision,
        )
        for one in found.same
    } == {INT8, BF16}
    assert any(line.startswith("SAME: openvino") for line in answer(found))
    assert found.settled


def test_one_that_runs_out_of_memory_is_a_row_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(MadeUp(TIMES, broken=frozenset({INT8})), tmp_path, monkeypatch)
    assert winner(found) == BF16
    assert "out of memory" in reasons(found)[INT8]


def test_nothing_within_the_limit_is_said_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {EAGER: 500, ORT: 300, OPENVINO: 200, BF16: 180, INT8: 150}
    made = MadeUp(TIMES, memory_mb=sizes)
    found = outcome(made, tmp_path, monkeypatch, memory_limit_bytes=100 * 2**20)
    assert found.winner is None
    assert "the nearest is openvino int8" in answer(found)[0]
    assert "memory 150 MB, 50% over 100 MB" in answer(found)[0]


def test_int8_that_loses_too_much_is_tried_with_layers_in_float_and_wins_if_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp({**TIMES, MIXED: 7.0}, wrong={INT8: 0.3})
    found = outcome(made, tmp_path, monkeypatch)
    assert made.rewriting == [("openvino int8",)]
    assert winner(found) == INT8
    assert found.winner is not None
    assert found.winner.candidate.record.cell.precision_name == "int8-mixed"
    assert [one.title for one in found.not_tried] == ["onnx fp32 fuse=transformer"]
    # One that is as wrong with layers in float is no better.
    wrong = MadeUp({**TIMES, MIXED: 7.0}, wrong={INT8: 0.3, MIXED: 0.2})
    assert winner(outcome(wrong, tmp_path / "wrong", monkeypatch)) == BF16


def test_int8_that_is_right_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp({**TIMES, MIXED: 7.0})
    assert winner(outcome(made, tmp_path, monkeypatch)) == INT8
    assert made.rewriting == [()]


def test_memory_limit_and_objective_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {EAGER: 500, ORT: 100, OPENVINO: 200, BF16: 180, INT8: 250}
    found = outcome(
        MadeUp(TIMES, memory_mb=sizes), tmp_path, monkeypatch, memory_limit_bytes=210 * 2**20
    )
    assert winner(found) == BF16
    found = outcome(
        MadeUp(TIMES, memory_mb=sizes),
        tmp_path / "least",
        monkeypatch,
        objective=Quantity.MEMORY,
    )
    assert winner(found) == ORT


def test_killed_one_goes_on_and_measures_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {**TIMES, INT8: 11.8}  # BF16 and INT8 take a second round
    killed = MadeUp(times, interrupt_in_round=1, scatter=0.0)
    search = killed.search(tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        search.carry_out()
    known = search.outcome()
    assert known is not None
    assert known.rounds == 1

    again = MadeUp(times, scatter=0.0)
    found = outcome(again, tmp_path, monkeypatch)
    assert again.evaluated == []
    assert len(again.rounds) == found.rounds - 1
    remarks = [event.words for event in again.said if isinstance(event, TuneRemarked)]
    assert any(words.startswith("round 1 was measured before, in the run") for words in remarks)

    third = MadeUp(times, scatter=0.0)
    same = outcome(third, tmp_path, monkeypatch)
    assert (third.rounds, third.evaluated) == ([], [])
    assert winner(same) == winner(found)
    assert same.spent_s == pytest.approx(found.spent_s)


def test_options_are_tried_on_the_finalists_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp(TIMES)
    found = outcome(made, tmp_path, monkeypatch, runtime_options=True)
    first, second = made.rounds[0], made.rounds[1]
    assert len(first) == 5
    assert any(title.startswith("net openvino int8") for title in second)
    assert winner(found) == INT8
    assert found.winner is not None
    # With one thread it takes half as long again: the default won.
    assert found.winner.candidate.record.cell.threads == 2


def test_report_has_the_sentence_the_front_the_reasons_and_a_row_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(MadeUp(TIMES, wrong={INT8: 0.3}), tmp_path, monkeypatch)
    report = tune_report(found)
    (sentence,) = report.sections[0].lines  # type: ignore[union-attr]
    assert "openvino bf16 runs net" in sentence
    assert "times as fast" in sentence
    assert "fp32 eager." in sentence
    assert report.data is not None
    assert [row["recommended"] for row in report.data].count(True) == 1
    over = [row for row in report.data if str(row["why_not"]).startswith("over the limit")]
    assert [row["fit"] for row in over] == ["FAILS"]
    assert all(row["why_not"] for row in report.data)
