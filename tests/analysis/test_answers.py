"""The answer: the fastest runner that is known to be, by how much, and what would tell the rest."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

import pytest

from deploybench.analysis import answers
from deploybench.analysis.answers import Lead, ModelAnswer, answers_of
from deploybench.report.answer_text import answer_sections
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer
from tests.records import launch, record


def launches(ms: float, *, count: int = 8, **changes: object) -> list[Launch]:
    return [
        launch([ms * (1 + 0.001 * number)] * 30, number=number, **changes)
        for number in range(count)
    ]


def restless(ms: float, *, odd: int) -> list[Launch]:
    """Every other launch is twice as slow: the even or the ``odd`` ones."""
    return [launch([ms * (1 + (number + odd) % 2)] * 30, number=number) for number in range(8)]


def three(**changes: object) -> list[Record]:
    return [
        record(launches(20.0), **changes),
        record(launches(10.0), runner="onnxruntime", **changes),
        record(launches(8.0), runner="openvino", **changes),
    ]


def answer_of(records: list[Record]) -> ModelAnswer:
    (answer,) = answers_of(records)
    return answer


def text_of(records: list[Record]) -> str:
    sections = answer_sections(answers_of(records), records)
    return "\n".join(line for prose in sections for line in (prose.title, *prose.lines))


def test_fastest_is_known_with_its_lead_over_the_baseline_and_the_next() -> None:
    answer = answer_of(three())
    assert answer.known
    assert answer.fastest is not None
    assert answer.fastest.cell.runner == "openvino"
    assert answer.over_baseline is not None
    assert answer.over_baseline.ratio.value == pytest.approx(2.5)
    assert answer.over_next is not None
    assert (answer.over_next.cell.runner, answer.over_next.answer) == (
        "onnxruntime",
        Answer.FASTER,
    )
    assert answer.over_next.ratio.value == pytest.approx(1.25)
    text = text_of(three())
    assert "net: openvino is the fastest, 2.50 times as fast as the baseline, pytorch" in text
    assert "1.25 times as fast as the next, onnxruntime" in text
    assert "95 % sure, from 8 rounds." in text


def test_runners_within_the_margin_share_the_place() -> None:
    records = [*three(), record(launches(8.04), runner="inductor")]
    answer = answer_of(records)
    assert answer.known
    assert [cell.runner for cell in answer.as_fast] == ["inductor"]
    assert "openvino and inductor are equally fast, and the fastest" in text_of(records)


def test_baseline_that_is_the_fastest_is_named_as_such() -> None:
    records = [record(launches(5.0)), record(launches(10.0), runner="onnxruntime")]
    assert "pytorch is the fastest (it is the baseline)" in text_of(records)


def test_too_few_rounds_leave_it_open_and_the_command_measures_those_that_are() -> None:
    records = [*three()[:2], record(launches(8.0, count=4), runner="openvino")]
    answer = answer_of(records)
    assert not answer.known
    assert answer.fastest is None
    assert answer.more_rounds == 2
    words = shlex.split(answer.command)
    assert words[:4] == ["deploybench", "run", "--model", "net"]
    assert words[words.index("--runner") + 1] == "openvino,onnxruntime,pytorch"
    assert int(words[words.index("--rounds") + 1]) >= 6
    text = text_of(records)
    assert "Which runner is the fastest is not known for net" in text
    assert "This settles it:" in text
    settled = text_of([*records, *three(model="vit")])
    assert "net: which runner is the fastest is not known; perhaps openvino." in settled
    assert "About 2 more rounds would tell." in settled
    assert answer.command in text


def test_what_is_beaten_for_sure_is_told_beside_what_is_open() -> None:
    close = [launch([8.0 * (1 + 0.02 * (-1) ** n)] * 30, number=n) for n in range(8)]
    records = [
        record(launches(20.0)),
        record(close, runner="openvino"),
        record(launches(8.1), runner="onnxruntime"),
    ]
    answer = answer_of(records)
    assert [cell.runner for cell in answer.undecided] in (["onnxruntime"], ["openvino"])
    assert answer.fastest is not None
    text = text_of(records)
    assert "is faster than pytorch" in text
    assert "Not known: whether" in text


def test_where_nothing_is_known_one_sentence_and_one_command_say_so() -> None:
    """The runners take turns in being twice as slow."""
    records = [
        record(restless(20.0, odd=number % 2), model=model, runner=runner)
        for model in ("net", "vit")
        for number, runner in enumerate(("pytorch", "onnxruntime"))
    ]
    assert [answer.fastest for answer in answers_of(records)] == [None, None]
    text = text_of(records)
    assert text.count("not known") == 1
    assert (
        "Which runner is the fastest is not known for net and vit: the machine changed speed while "
        "they ran (4 of 4 measurements)." in text
    )
    assert text.count("deploybench run") == 1
    assert "--model net,vit" in text


def test_ways_to_measure_do_not_compete_with_each_other() -> None:
    records = [*three(), record(launches(1.0), runner="openvino", batch=8)]
    assert [answer.contested for answer in answers_of(records)] == [True, False]
    other_run = [one.model_copy(update={"run": "other"}) for one in three()]
    assert len(answers_of([*three(), *other_run])) == 2


def test_failed_and_invalid_cells_take_no_part() -> None:
    failed = record([Launch(error="killed")], runner="inductor")
    assert len(answer_of([*three(), failed]).records) == 3
    assert answers_of([failed]) == []
    assert "Nothing was measured" in text_of([failed])


def test_one_runner_alone_is_told_as_such() -> None:
    text = text_of([record(launches(8.0))])
    assert "net: pytorch takes 8.03 ms a call." in text
    assert "nothing to compare it with" in text


def test_least_memory_is_told_where_runners_differ() -> None:
    memory = launch([1.0]).memory
    assert memory is not None
    large = memory.model_copy(update={"peak_bytes": memory.baseline_bytes + (400 << 20)})
    records = [record(launches(20.0, memory=large)), *three()[1:]]
    least = answer_of(records).least_memory
    assert least is not None
    assert least.cell.runner != "pytorch"
    assert "MB (pytorch: 400 MB)" in text_of(records)
    assert "Memory: all take about 100 MB." in text_of(three())


def test_disturbed_rounds_make_the_answer_likely_instead_of_sure() -> None:
    around = launch([1.0]).surroundings
    assert around is not None
    busy = around.model_copy(update={"foreign_cpu_share": 0.4})
    records = [
        record(launches(20.0, surroundings=busy)),
        record(launches(10.0, surroundings=busy), runner="onnxruntime"),
    ]
    assert "Likely, not certain: other work disturbed some of the 8 rounds." in text_of(records)


def test_nobody_is_the_fastest_where_runners_beat_each_other_in_a_circle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pairs of launches of different rounds can say so; each is only as good as its rounds."""
    beats = {("pytorch", "onnxruntime"), ("onnxruntime", "openvino"), ("openvino", "pytorch")}
    real = answers._leads

    def leads(leader: Record, others: Sequence[Record], margin: float) -> list[Lead]:
        found = []
        for lead in real(leader, others, margin):
            wins = (leader.cell.runner, lead.cell.runner) in beats
            found.append(replace(lead, answer=Answer.FASTER if wins else Answer.SLOWER))
        return found

    monkeypatch.setattr(answers, "_leads", leads)
    answer = answer_of(three())
    assert not answer.known
    assert answer.undecided
