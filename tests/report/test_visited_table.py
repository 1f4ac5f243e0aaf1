"""The table, the details and the line on the machine, of cells whose processes were visited."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from deploybench.report.data import report_csv
from deploybench.report.run_notes import notes_of
from deploybench.report.run_report import run_report
from deploybench.report.run_table import run_table
from deploybench.report.table import NOTHING, Report
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from deploybench.statistics.ratios import Answer
from tests.records import record
from tests.report.test_run_table import (
    cells_of,
    header_of,
    line_of,
    one_line,
    printed,
    text_of,
    without_answer,
)
from tests.rows.test_rows import launches
from tests.visits import NOISY, reading, visited_record

QUIETER = Judgement(
    verdict=Verdict.NOISY,
    reason="none of 100 visits was calm; the undisturbed time is extrapolated",
    advice="measure at a quieter time",
)
UNSEEN: dict[str, object] = {"basis": "not seen", "known": False, "calm_visits": 0}


def unseen(undisturbed_ms: float = 11.9, **of_the_cell: object) -> Record:
    return visited_record(
        undisturbed_ms, 13.2, width=0.05, judgement=QUIETER, changes=UNSEEN, **of_the_cell
    )


def test_visited_cell_shows_its_undisturbed_time_beside_what_was_met() -> None:
    text = printed([visited_record(7.8, 13.2, p99_ms=21.5)])
    shown = line_of(text, "pytorch").split()
    assert shown[3:7] == ["7.80", "0.4%", "13.2", "21.5"]
    assert "met p50 met p99" in " ".join(header_of(text))
    assert "p50: undisturbed, what a call takes while nobody else uses the machine" in text
    assert "met: as the machine was" in one_line(text)
    assert "launch medians" not in text


def test_table_without_visits_has_no_word_of_them() -> None:
    text = printed([record(launches(10.0))])
    for word in ("met p50", "met p99", "met ×", "undisturbed", "≈", "visits", "delivered"):
        assert word not in text, word
    assert "p50: median of launch medians" in text


def test_visits_and_fresh_launches_in_one_table_are_told_apart() -> None:
    text = printed([visited_record(7.8, 13.2), record(launches(10.0), runner="onnxruntime")])
    assert "p50 without visits: median of launch medians" in one_line(text)
    assert cells_of([visited_record(7.8, 13.2), record(launches(10.0), runner="onnxruntime")],
                    "experienced_p50_ms") == ["13.2", NOTHING]  # fmt: skip


def test_time_too_far_from_what_was_seen_is_not_shown() -> None:
    far = {**UNSEEN, "delivered_p10": 0.1, "delivered_p50": 0.2, "delivered_p90": 0.45}
    made = visited_record(11.9, 81.0, width=0.05, judgement=QUIETER, changes=far)
    assert cells_of([made], "p50_ms") == ["–"]
    assert cells_of([made], "experienced_p50_ms") == ["81.0"]
    assert "11.9" not in printed([made])
    nearer = visited_record(
        11.9, 81.0, width=0.05, judgement=QUIETER, changes={**far, "delivered_p90": 0.55}
    )
    assert cells_of([nearer], "p50_ms") == ["≈11.9"]


@pytest.mark.parametrize("basis", ["extrapolated", "not seen"])
def test_time_that_was_worked_out_and_not_seen_is_marked_and_explained(basis: str) -> None:
    made = visited_record(
        11.9, 13.2, width=0.05, judgement=QUIETER, changes={**UNSEEN, "basis": basis}
    )
    assert cells_of([made], "p50_ms") == ["≈11.9"]
    assert cells_of([made], "half_width") == ["≥5.0%"]
    text = one_line(printed([made]))
    assert "≈: worked out from slower moments, not seen" in text
    assert "± ≥: at least" in text


def test_share_of_the_peak_is_left_out_where_no_time_of_visits_is_valid() -> None:
    made = visited_record(11.9, 13.2, width=0.05, judgement=QUIETER, changes=UNSEEN)
    assert cells_of([made], "share_of_peak") == []
    assert "%peak and ×bound: of times that are VALID, here of none" in one_line(printed([made]))


def test_time_that_was_seen_has_neither_mark() -> None:
    made = visited_record(7.8, 13.2, width=0.031, judgement=NOISY)
    assert cells_of([made], "p50_ms") == ["7.80"]
    assert cells_of([made], "half_width") == ["3.1%"]
    assert "≈" not in printed([made])


def test_cell_without_a_canary_says_that_its_time_is_as_met() -> None:
    without: dict[str, object] = {"basis": "no canary", "calm_visits": 0}
    text = printed([visited_record(13.2, 13.2, changes=without)])
    assert "without a canary p50 is as met, too" in one_line(text)
    assert "without a canary" not in printed([visited_record(7.8, 13.2)])


def test_rows_that_share_what_their_time_rests_on_share_one_note() -> None:
    made = [unseen(), unseen(9.0, runner="onnxruntime")]
    text = one_line(printed(made))
    assert (
        "[1] net pytorch, net onnxruntime: none of 100 visits was calm; the undisturbed time is "
        "extrapolated" in text
    )
    assert text.count("measure at a quieter time") == 1
    assert [note.cause for note in notes_of(rows_of(made)[0])] == [
        "the machine was never at its own speed beside their visits"
    ]


def contended() -> Row:
    """As fast as the baseline as the machine was; undisturbed 1.19 times as fast."""
    (row,) = rows_of([visited_record(7.8, 13.2, runner="onnxruntime")])
    return replace(
        row,
        baseline="openvino",
        speedup=1.19,
        speedup_low=1.17,
        speedup_high=1.21,
        speedup_coverage=0.95,
        speedup_answer=Answer.FASTER,
        experienced_speedup=1.0,
        experienced_speedup_low=0.99,
        experienced_speedup_high=1.01,
        experienced_speedup_coverage=0.95,
        experienced_speedup_answer=Answer.SAME,
        undisturbed_speedup=1.19,
        undisturbed_speedup_low=1.17,
        undisturbed_speedup_high=1.21,
        undisturbed_speedup_coverage=0.95,
        undisturbed_speedup_answer=Answer.FASTER,
        ranking_differs=True,
    )


def test_speedup_that_contention_changes_is_shown_in_both_forms_and_noted() -> None:
    table = run_table([contended()])
    text = text_of(Report((table,)))
    assert "met ×" in text
    assert "1.00 ±1.0% SAME" in text
    assert "1.19 ±1.7% FASTER" in text
    assert (
        "[1] net onnxruntime: the ranking differs: 1.19 times as fast as openvino undisturbed "
        "(FASTER), 1.00 as the machine was (SAME)" in one_line(text)
    )


def test_speedup_that_contention_changes_without_another_answer_keeps_the_ranking() -> None:
    row = replace(
        contended(),
        experienced_speedup=1.08,
        experienced_speedup_low=1.07,
        experienced_speedup_high=1.09,
        experienced_speedup_answer=Answer.FASTER,
        ranking_differs=False,
    )
    text = one_line(text_of(Report((run_table([row]),))))
    assert "1.19 times as fast as openvino undisturbed, 1.08 as the machine was" in text
    assert "the ranking differs" not in text


def test_ranking_that_differs_within_overlapping_intervals_is_shown_in_both_forms() -> None:
    row = replace(contended(), undisturbed_speedup=1.03, undisturbed_speedup_low=1.005)
    text = one_line(text_of(Report((run_table([row]),))))
    assert "met ×" in text
    assert "the ranking differs" in text


def test_speedup_that_contention_does_not_change_is_one_number() -> None:
    alike = replace(
        contended(),
        undisturbed_speedup=1.01,
        undisturbed_speedup_low=0.98,
        undisturbed_speedup_answer=Answer.AMBIGUOUS,
        ranking_differs=False,
    )
    text = text_of(Report((run_table([alike]),)))
    assert "met ×" not in text
    assert "undisturbed," not in text.replace("p50: undisturbed,", "").replace("undisturbed.", "")
    assert notes_of(alike) == []


def test_interrupted_cell_counts_its_visits() -> None:
    made = visited_record(7.8, 13.2).replaced(complete=False)
    assert "interrupted after 100 visits" in one_line(printed([made]))


def machine_line(records: list[Record]) -> str:
    text = printed(records)
    return one_line(text[text.index("This machine") : text.index("Kendall")])


def test_line_on_the_machine_tells_its_speed_and_what_more_time_would_do() -> None:
    known = visited_record(7.8, 13.2)
    assert machine_line([known]) == (
        "This machine delivered 78% of its own speed on median (61% to 95%)."
    )
    # Half as wide again as asked for: 1.25 times as many visits more. The 6 of both took 2.2 s.
    many: dict[str, object] = {"visits": 400}
    wide = visited_record(41.3, 45.6, width=0.03, judgement=NOISY, runner="openvino", changes=many)
    assert machine_line([known, wide]) == (
        "This machine delivered 78% of its own speed on median (61% to 95%): 1 of 2 rows is not "
        "known within ±2.0%; about 3 minutes more would do."
    )


def test_line_on_the_machine_says_what_no_time_would_do() -> None:
    assert machine_line([unseen()]).endswith(
        "1 of 1 row is not known within ±2.0%; only a quieter machine would do."
    )
    wide = visited_record(41.3, 45.6, width=0.03, judgement=NOISY, runner="openvino")
    assert "more would do for all but 1, which need a quieter machine" in machine_line(
        [wide, unseen()]
    )


def test_line_on_the_machine_does_not_give_up_on_a_few_visits() -> None:
    first = visited_record(
        11.9, 13.2, judgement=QUIETER, changes={**UNSEEN, "visits": 4, "independent": 1.0}
    )
    assert first.summary is not None
    (state,) = first.summary.states
    no_interval = state.replaced(p50_low_ms=None, p50_high_ms=None)
    few = first.replaced(summary=first.summary.replaced(states=(no_interval,)))
    # Fifteen times as many until they are worth enough; 3 visits took 2 s.
    assert "about 38 seconds more would do" in machine_line([few])


def test_line_on_the_machine_tells_one_that_was_never_fast() -> None:
    slow = visited_record(11.9, 13.2, shares=(0.60, 0.70, 0.81))
    assert "(60% to 81%), at best 81%" in machine_line([slow])
    assert slow.canary is not None
    own = reading(0.75).replaced(memory_us=slow.canary.memory_us)
    robust = slow.canary.replaced(of_this_run=own)
    assert "at best 75%" in machine_line([slow.replaced(canary=robust)])
    calm = visited_record(11.9, 12.0, shares=(0.995, 0.998, 1.0))
    assert machine_line([calm]) == "This machine delivered all of its own speed."


def test_line_on_the_machine_tells_one_that_is_faster_than_is_known_of_it() -> None:
    made = visited_record(11.9, 13.2, shares=(0.60, 0.70, 1.34))
    line = machine_line([made])
    assert "(60% to 100%); at times it was at 134% of what is remembered of it" in line


def test_advice_that_differs_in_its_figures_alone_is_told_once() -> None:
    made = []
    for rounds, runner in ((1080, "pytorch"), (480, "onnxruntime")):
        advice = f"about {rounds} more rounds would meet 20 calm visits"
        judgement = QUIETER.replaced(advice=advice)
        made.append(visited_record(11.9, 13.2, judgement=judgement, changes=UNSEEN, runner=runner))
    text = one_line(printed(made))
    assert "→ [1] stop other work, ask for dedicated cores, or measure at a quieter time" in text
    assert "more rounds would meet" not in text
    assert "about 480 more rounds would meet" in one_line(printed(made[1:]))


def test_line_on_the_machine_doubts_a_speed_that_one_run_alone_saw() -> None:
    made = visited_record(7.8, 13.2)
    assert made.canary is not None
    first = made.replaced(canary=made.canary.replaced(runs=1))
    assert "as far as this one run can tell" in machine_line([first])


@pytest.mark.parametrize("width", [80, 120])
def test_table_of_visits_fits_the_page_and_keeps_both_medians_in_the_line(width: int) -> None:
    made = [
        visited_record(59.9, 80.3, model="resnet50"),
        visited_record(41.9, 49.1, model="resnet50", runner="onnxruntime"),
        unseen(model="resnet50", runner="torchscript"),
    ]
    text = text_of(without_answer(run_report(made)), width)
    assert max(map(len, text.splitlines())) <= width
    assert {"41.9", "0.4%", "49.1", "20.0"} <= set(line_of(text, "onnxruntime").split())


def test_details_tell_what_the_undisturbed_time_rests_on() -> None:
    report = run_report([visited_record(9.31, 13.2, changes={"whole_ms": 8.70})], details=True)
    text = text_of(report, width=400)
    (table,) = [table for table in report.tables if table.title.startswith("The visits")]
    shown = dict(zip([column.title for column in table.columns], table.lines[0].cells, strict=True))
    assert {title: cell.text for title, cell in shown.items()} == {
        "cell": "net pytorch fp32 b1",
        "processes": "2",
        "visits": "100",
        "calm": "40 at 95%",
        "rests on": "calm visits",
        "undisturbed": "9.31 (9.27–9.35)",
        "all visits": "8.7 (9.27–9.35)",
        "worth": "60",
        "delivered": "61% / 78% / 95%",
        "slope": "-0.80",
        "halves": "agree",
        "apart": NOTHING,
    }
    percentiles = text[text.index("Percentiles as met") :]
    assert "13.2 (13.1–13.3)" in percentiles.splitlines()[3]
    assert "The visits" not in text_of(run_report([record(launches(10.0))], details=True))


def test_data_hold_what_was_undisturbed_and_what_was_met() -> None:
    report = run_report([visited_record(7.8, 13.2), record(launches(10.0), runner="openvino")])
    visited, launched = csv.DictReader(io.StringIO(report_csv(report)))
    assert (visited["p50_ms"], visited["experienced_p50_ms"]) == ("7.8", "13.2")
    assert visited["undisturbed_basis"] == "calm visits"
    assert (visited["delivered_p50"], visited["visits"], visited["processes"]) == (
        "0.78",
        "100",
        "2",
    )
    assert (launched["visits"], launched["experienced_p50_ms"]) == ("", "")
