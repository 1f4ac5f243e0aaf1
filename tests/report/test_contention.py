"""Where contention decides who is the faster one, the answer and the table say so."""

from __future__ import annotations

import pytest

from deploybench.report.run_report import run_report
from deploybench.results.record import Record
from tests.report.test_run_table import cells_of, one_line, text_of
from tests.visits import busy_and_calm, record_of_visits, visited_record

SHARES = busy_and_calm()


def contended() -> list[Record]:
    """Undisturbed 7.8 and 9.3 ms; on 59 % of the machine's speed 13.2 ms both."""
    return [
        record_of_visits(9.3, slope=-0.664, shares=SHARES, runner="pytorch"),
        record_of_visits(7.8, slope=-1.0, shares=SHARES, runner="onnxruntime"),
    ]


def test_answer_tells_both_where_the_ranking_is_another_undisturbed() -> None:
    text = one_line(text_of(run_report(contended())))
    assert "onnxruntime is the fastest undisturbed, 1.19 times as fast as the baseline" in text
    assert (
        "Undisturbed, onnxruntime is 1.19 times as fast as pytorch (7.81 and 9.29 ms); as the "
        "machine was, both took 13." in text
    )
    assert cells_of(contended(), "experienced_speedup")[1].endswith("SAME")
    assert cells_of(contended(), "speedup")[1].endswith("FASTER")


def test_answer_has_no_word_of_contention_where_all_suffer_alike() -> None:
    alike = [
        record_of_visits(ms, slope=-0.8, shares=SHARES, runner=runner)
        for ms, runner in ((9.3, "pytorch"), (7.8, "onnxruntime"))
    ]
    text = one_line(text_of(run_report(alike)))
    assert "onnxruntime is the fastest, 1.19 times" in text
    assert "Undisturbed," not in text
    assert cells_of(alike, "experienced_speedup") == []


def test_ranking_that_contention_turns_around_is_told_with_both_times() -> None:
    turned = [
        record_of_visits(9.3, slope=-0.4, shares=SHARES, runner="pytorch"),
        record_of_visits(7.8, slope=-1.0, shares=SHARES, runner="onnxruntime"),
    ]
    text = one_line(text_of(run_report(turned)))
    assert "as the machine was, pytorch was the faster one (11." in text


@pytest.mark.parametrize(
    ("basis", "words"),
    [
        ("calm visits", "takes 7.80 ms a call undisturbed, and took 13.2 ms as the machine was"),
        ("not seen", "takes perhaps 7.80 ms a call undisturbed"),
        ("no canary", "took 13.2 ms a call."),
    ],
)
def test_one_runner_alone_is_told_with_both_times(basis: str, words: str) -> None:
    alone = visited_record(7.8, 13.2, changes={"basis": basis})
    assert words in one_line(text_of(run_report([alone])))


def test_undisturbed_time_that_is_too_far_from_what_was_seen_is_in_no_sentence() -> None:
    slowed = {"basis": "not seen", "delivered_p90": 0.21}
    text = one_line(text_of(run_report([visited_record(7.8, 43.2, changes=slowed)])))
    assert "took 43.2 ms a call as the machine was; what it takes undisturbed is not known" in text
    assert "7.80" not in text


def test_command_that_settles_visits_gives_them_time_and_no_number_of_launches() -> None:
    """Of visits ``--rounds`` would be fresh launches."""
    few = busy_and_calm(12)
    made = [
        record_of_visits(ms, slope=-0.8, shares=few, runner=runner)
        for ms, runner in ((9.3, "pytorch"), (9.2, "onnxruntime"))
    ]
    text = one_line(text_of(run_report(made)))
    assert "--budget 60s" in text
    assert "--rounds" not in text
