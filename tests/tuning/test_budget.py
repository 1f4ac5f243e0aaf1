"""The budget of a tuning is a promise: what it is not enough for is a row that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest

from deploybench.analysis.tuned import Tuned
from deploybench.children import deadlines
from deploybench.errors import DeployBenchError
from deploybench.plan.cells import Planned
from deploybench.report.data import report_json
from deploybench.report.tune_table import tune_report
from deploybench.report.tune_text import reason_words
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.runs.evaluation import EvaluationRequest
from deploybench.tuning.events import TuneRemarked
from deploybench.tuning.halving import least_budget_s
from deploybench.tuning.journal import JournalFile
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.rewriting import Rewritten
from deploybench.tuning.search import EVALUATING_SHARE, Search
from deploybench.tuning.tune import BUDGET_STEP_S, EXPORTING_SHARE, sure_budget_s, tune
from tests.tuning.made_up import MadeUp
from tests.tuning.test_bad_input import write_set
from tests.tuning.test_search import BF16, EAGER, INT8, MIXED, ORT, TIMES, winner

BUDGET = "not tried: budget"


def outcome(made: MadeUp, root: Path, patch: pytest.MonkeyPatch, left_s: float) -> Tuned:
    search = made.search(root, patch)
    with deadlines.no_later_than(monotonic() + left_s):
        search.carry_out()
    found = search.outcome()
    assert found is not None
    return found


def test_time_for_two_is_given_to_eager_and_the_one_that_promises_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeUp(TIMES)
    found = outcome(made, tmp_path, monkeypatch, left_s=11.0)
    assert winner(found) == INT8
    (first, *_) = made.rounds
    assert sorted(title.split()[1:3] for title in first) == [list(INT8), list(EAGER)]
    said = [event.words for event in made.said if isinstance(event, TuneRemarked)]
    assert any("2 of 5 configurations can be measured" in words for words in said)
    # The others were evaluated, and are rows that say what they lacked.
    reasons = {
        (cell.runner, cell.precision): reason_words(one, found)
        for one in found.outcomes
        for cell in [one.assessment.candidate.record.cell]
    }
    assert reasons[ORT].startswith(BUDGET)
    assert reasons[BF16].startswith(BUDGET)
    assert report_json(tune_report(found)).count(BUDGET) >= 3


class CutShort(MadeUp):
    """The time for first images ends while OpenVINO's configurations are evaluated."""

    late = False

    def carry_out_evaluation(
        self, request: EvaluationRequest, tell: Callable[[Any], None]
    ) -> SimpleNamespace:
        result = super().carry_out_evaluation(request, tell)
        first = not any("openvino int8" in titles for _, titles in self.evaluated[:-1])
        self.late = first and "openvino" in request.runners
        if not self.late:
            return result
        cut = [
            record if record.cell.precision == "fp32" else record.replaced(quality=None)
            for record in result.records
        ]
        return SimpleNamespace(records=tuple(cut), run=result.run, cut_short=None)


def test_evaluation_that_was_ended_is_no_result_and_is_made_when_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = CutShort(TIMES)
    monkeypatch.setattr(deadlines, "passed", lambda: made.late)
    found = outcome(made, tmp_path, monkeypatch, left_s=600.0)
    said = [event.words for event in made.said if isinstance(event, TuneRemarked)]
    assert any("not all of openvino could be evaluated" in words for words in said)
    # Had it been taken for a result, they would be broken, and never looked at again.
    assert [titles for _, titles in made.evaluated if "openvino int8" in titles] == [
        ("openvino fp32", "openvino bf16", "openvino int8"),
        ("openvino bf16", "openvino int8"),
    ]
    assert winner(found) == INT8


class AlwaysCut(MadeUp):
    """No evaluation is ever over in time; one for each round may be tried."""

    def carry_out_evaluation(
        self, request: EvaluationRequest, tell: Callable[[Any], None]
    ) -> SimpleNamespace:
        before_rounds = 3
        assert len(self.evaluated) < before_rounds + len(self.rounds), "begun again and again"
        result = super().carry_out_evaluation(request, tell)
        cut = tuple(record.replaced(quality=None) for record in result.records)
        return SimpleNamespace(records=cut, run=result.run, cut_short=None)


def test_evaluation_that_never_has_the_time_is_not_begun_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = AlwaysCut(TIMES)
    monkeypatch.setattr(deadlines, "passed", lambda: True)
    found = outcome(made, tmp_path, monkeypatch, left_s=600.0)
    assert len(made.rounds) > 0
    assert found.winner is None


def test_nothing_is_affordable_without_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as no evaluation was over, an image is thought to take nothing."""
    evaluations = MadeUp(TIMES).search(tmp_path, monkeypatch).evaluations
    assert evaluations.seconds_an_image == 0.0
    assert evaluations.affordable(0, 1, left_s=1.0)
    assert not evaluations.affordable(0, 1, left_s=0.0)


class SlowGroups(MadeUp):
    """Each evaluation takes 30 s of a clock that is made up; the deadline cuts those that are
    named, all of their cells or all but the first."""

    now_s = 0.0
    late = False
    cut: tuple[str, ...] = ()
    left = 0

    def carry_out_evaluation(
        self, request: EvaluationRequest, tell: Callable[[Any], None]
    ) -> SimpleNamespace:
        result = super().carry_out_evaluation(request, tell)
        self.now_s += 30.0
        self.late = request.runners[0] in self.cut
        records = list(result.records)
        if self.late:
            records[self.left :] = [one.replaced(quality=None) for one in records[self.left :]]
        return SimpleNamespace(records=tuple(records), run=result.run, cut_short=None)


@pytest.mark.parametrize("left", [0, 1])
def test_evaluation_that_was_cut_tells_nothing_of_what_more_images_take(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = SlowGroups(TIMES, counts=(100, 200))
    made.cut, made.left = ("openvino",), left
    monkeypatch.setattr("deploybench.tuning.evaluating.monotonic", lambda: made.now_s)
    monkeypatch.setattr(deadlines, "passed", lambda: made.late)
    search = made.search(tmp_path, monkeypatch)
    by_runner: dict[str, list[Planned]] = {}
    for plan in made.planned():
        by_runner.setdefault(plan.cell.runner, []).append(plan)
    evaluations = search.evaluations
    evaluations.evaluate(0, by_runner["openvino"])
    # Nothing is known: it is tried, and the deadline ends it if it is too long.
    assert evaluations.seconds_an_image == 0.0
    evaluations.evaluate(0, by_runner["onnxruntime"])
    evaluations.evaluate(0, by_runner["openvino"])
    assert evaluations.seconds_an_image == pytest.approx(30 / 100)
    assert evaluations.affordable(1, 1, left_s=121.0)
    assert not evaluations.affordable(1, 1, left_s=119.0)


class StartsLate(MadeUp):
    """The process of INT8 does not start before the deadline, that of BF16 is not even begun."""

    def measured(
        self,
        planned: list[Planned],
        run: str,
        seconds_each: float,
        surroundings: Surroundings,
        tell: Callable[[Any], None],
    ) -> list[Record]:
        records = []
        for record in super().measured(planned, run, seconds_each, surroundings, tell):
            if record.cell.precision == "bf16":
                continue
            if record.cell.precision == "int8":
                launch = Launch(error=f"{BUDGET} (stopped when it was spent)")
                record = record.replaced(summary=None, visits=(), launches=(launch,))
            records.append(record)
        return records


def test_process_that_was_too_late_is_no_failure_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = outcome(StartsLate(TIMES), tmp_path, monkeypatch, left_s=600.0)
    assert winner(found)[1] == "fp32"
    late = [
        reason_words(one, found)
        for one in found.outcomes
        if one.assessment.candidate.record.cell.precision in ("int8", "bf16")
    ]
    assert len(late) == 2
    assert all(words.startswith(BUDGET) for words in late)


class Clocked(MadeUp):
    """On a clock that is made up: ``images_s`` for an evaluation, ``writing_s`` for other forms,
    ``round_s`` for a round. Of the round in which the deadline comes nothing is there, or all but
    fp32 eager."""

    now_s = 0.0
    writing_s = 0.0
    images_s = 0.0
    round_s = 10.0
    eager_alone_is_late = False

    def rewritten(self, leaders: Sequence[Planned], over: Sequence[Planned]) -> Rewritten:
        self.now_s += self.writing_s
        return super().rewritten(leaders, over)

    def measured(
        self,
        planned: Sequence[Planned],
        run: str,
        seconds_each: float,
        surroundings: Surroundings,
        tell: Callable[[Any], None],
    ) -> list[Record]:
        self.now_s += self.round_s
        late = deadlines.passed()
        if late and not self.eager_alone_is_late:
            self.rounds.append(())
            return []
        records = super().measured(planned, run, seconds_each, surroundings, tell)
        return [one for one in records if not (late and one.cell.runner == "pytorch")]

    def carry_out_evaluation(
        self, request: EvaluationRequest, tell: Callable[[Any], None]
    ) -> SimpleNamespace:
        self.now_s += self.images_s
        return super().carry_out_evaluation(request, tell)

    def found(
        self, root: Path, patch: pytest.MonkeyPatch, budget_s: float = 100.0, **changes: object
    ) -> Search:
        """The search after the budget."""
        for module in ("children.deadlines", "tuning.rounds", "tuning.evaluating", "tuning.search"):
            patch.setattr(f"deploybench.{module}.monotonic", lambda: self.now_s)
        search = self.search(root, patch, budget_s=budget_s, **changes)
        with deadlines.no_later_than(budget_s):
            search.carry_out()
        return search


def of_journal(root: Path) -> list[tuple[int, int, bool]]:
    """Its rounds: number, how many configurations, whether finished."""
    document = JournalFile(root / "tuned" / "net", {"asked": "this"}).document
    return [(one.number, len(one.names), one.finished) for one in document.rounds]


def test_no_round_is_begun_after_exports_of_other_forms_took_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Clocked({**TIMES, MIXED: 7.0}, wrong={INT8: 0.3})
    made.writing_s = 90.0
    found = made.found(tmp_path, monkeypatch).outcome()
    assert found is not None
    assert len(made.rounds) == found.rounds == 1
    assert of_journal(tmp_path) == [(0, 5, True)]
    assert found.over_eager is not None
    assert not found.settled
    assert any(one.reason == BUDGET for one in found.not_tried)


def test_round_of_which_nothing_was_there_in_time_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Clocked({**TIMES, INT8: 11.8}, scatter=0.0)  # BF16 and INT8 take a second round
    made.round_s = 60.0
    search = made.found(tmp_path, monkeypatch)
    found = search.outcome()
    assert found is not None
    assert len(made.rounds) == 2
    assert found.rounds == 1
    assert of_journal(tmp_path) == [(0, 5, True)]
    assert found.over_eager is not None
    assert found.over_eager.value == pytest.approx(40 / 11.8, rel=0.02)
    assert not found.settled
    said = [event.words for event in made.said if isinstance(event, TuneRemarked)]
    assert "the budget was spent before round 2 showed anything" in said


def test_first_round_of_which_nothing_was_there_in_time_is_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Clocked(TIMES)
    made.round_s = 200.0
    assert made.found(tmp_path, monkeypatch).outcome() is None
    assert of_journal(tmp_path) == []


def test_times_as_fast_as_eager_come_from_the_last_round_that_has_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Clocked({**TIMES, INT8: 11.8}, scatter=0.0)
    made.round_s = 60.0
    made.eager_alone_is_late = True
    found = made.found(tmp_path, monkeypatch).outcome()
    assert found is not None
    assert found.rounds == 2
    assert found.over_eager is not None
    assert found.over_eager.value == pytest.approx(40 / 11.8, rel=0.02)


@pytest.mark.parametrize("exporting", [True, False])
def test_budget_that_is_suggested_leaves_time_for_all_whatever_exports_and_first_images_take(
    exporting: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget_s = sure_budget_s(len(TIMES), exporting=exporting)
    made = Clocked(TIMES)
    left_s = budget_s
    if exporting:
        made.now_s = EXPORTING_SHARE * budget_s
        left_s -= made.now_s
    made.images_s = EVALUATING_SHARE * left_s / 3  # eager, ONNX Runtime and OpenVINO
    search = made.found(tmp_path, monkeypatch, budget_s)
    assert search.outcome() is not None
    assert len(made.rounds[0]) == len(TIMES)
    # No more than it takes.
    assert budget_s - BUDGET_STEP_S <= least_budget_s(len(TIMES)) * (4 if exporting else 2)


def test_budget_that_the_exports_take_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is exported in time: each is a row, and the call ends at once."""
    monkeypatch.setattr("deploybench.tuning.tune.EXPORTING_SHARE", 0.0)
    request = TuneRequest(
        data=write_set(tmp_path / "data", {"test": 2}),
        model="timm:test_efficientnet",
        num_classes=2,
        image_size=(32, 32),
        backends=["onnx"],
        runners=["pytorch", "onnxruntime"],
        precisions=["fp32"],
        budget_s=60.0,
        threads=1,
        pin="none",
        workspace=tmp_path / "workspace",
    )
    began = monotonic()
    with pytest.raises(DeployBenchError) as refused:
        tune(request)
    assert monotonic() - began < 60.0
    assert BUDGET in str(refused.value)
