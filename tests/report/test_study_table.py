"""What a study prints: the answer, one table, and whether one order is the other."""

from __future__ import annotations

import json

from rich.console import Console

from deploybench.report.data import report_csv, report_json
from deploybench.report.markdown import report_markdown
from deploybench.report.study_table import study_report
from deploybench.report.table import Report
from deploybench.report.terminal import print_sections
from deploybench.results.record import Record
from deploybench.results.study import Failure, StudiedModel
from deploybench.rows.study_row import study_rows
from tests import studies

MACS = {"light": 1e9, "odd": 2e9, "middle": 3e9, "heavy": 4e9}
TIMES_MS = {"light": 10.0, "odd": 50.0, "middle": 30.0, "heavy": 40.0}
BALANCED = {"light": 0.40, "odd": 0.50, "middle": 0.60, "heavy": 0.70}


def whole_study(
    flipped: int = 0,
) -> tuple[list[StudiedModel], list[Record], list[Record]]:
    models = [studies.model(name, studies.keys(name)) for name in reversed(MACS)]
    timed = []
    evaluated = []
    for name in MACS:
        for runner in studies.RUNNERS:
            timed.append(studies.timed(name, runner, TIMES_MS[name], MACS[name]))
            of_eager = 0 if runner == "pytorch" else flipped
            found = studies.quality(BALANCED[name], flipped=of_eager)
            evaluated.append(studies.evaluated(name, runner, found))
    return models, timed, evaluated


def printed(report: Report, width: int = 140) -> str:
    console = Console(width=width, record=True, highlight=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    print_sections(report, console)
    return console.export_text()


def unfolded(report: Report) -> str:
    return " ".join(printed(report).split())


def test_rows_stand_by_runner_and_there_by_macs_with_their_three_ranks() -> None:
    rows = study_rows(*whole_study())
    assert [row.runner for row in rows] == ["pytorch"] * 4 + ["onnxruntime"] * 4
    first = rows[:4]
    assert [row.model.title for row in first] == ["light", "odd", "middle", "heavy"]
    assert [row.ranks.macs for row in first] == [1, 2, 3, 4]
    assert [row.ranks.latency for row in first] == [1, 4, 2, 3]
    assert [row.ranks.accuracy for row in first] == [4, 3, 2, 1]


def test_the_model_that_breaks_the_order_is_named_with_its_places() -> None:
    text = unfolded(study_report(*whole_study()))
    assert (
        "every runner: the order by latency is the order by MACs but for odd (#2 by MACs, #4 by "
        "latency); 4 of 6 pairs agree; Kendall tau +0.33 over 4 models"
    ) in text
    assert (
        "accuracy (balanced), every runner: the order by accuracy is the order by MACs, the most "
        "first; 6 of 6 pairs agree; Kendall tau +1.00 over 4 models"
    ) in text


def test_the_answer_names_the_most_accurate_the_fastest_and_what_is_worth_choosing() -> None:
    text = unfolded(study_report(*whole_study()))
    assert "Most accurate: heavy, balanced 70.0 % (68.0 to 72.0)." in text
    assert "Fastest: light, 10.0 ms on pytorch." in text
    chosen = text.partition("Worth choosing")[2].partition("pytorch · fp32")[0]
    assert "light: 10.0 ms on pytorch, balanced 40.0 % (38.0 to 42.0)" in chosen
    assert "middle: 30.0 ms" in chosen
    assert "heavy: 40.0 ms" in chosen
    assert "odd" not in chosen


def test_models_are_ordered_by_the_figure_that_was_asked_for() -> None:
    models, timed, evaluated = whole_study()
    rows = study_rows(models, timed, evaluated, kind="top-1")
    assert {row.ranks.accuracy for row in rows} == {1}
    assert {row.accuracy_kind for row in rows} == {"top-1"}


def test_answers_as_eagers_on_every_runner_are_said_with_the_number_of_images() -> None:
    text = unfolded(study_report(*whole_study()))
    assert (
        "light: pytorch, onnxruntime give fp32 eager's class for every one of 100 images: flipped 0"
    ) in text


def test_flipped_images_are_said_with_the_runner() -> None:
    text = unfolded(study_report(*whole_study(flipped=3)))
    assert "light: another class than fp32 eager's of 100 images: onnxruntime for 3" in text
    assert "every one of 100 images" not in text


def test_what_never_looking_at_an_image_would_reach_stands_beside_the_data() -> None:
    text = unfolded(study_report(*whole_study()))
    assert "without a look at the image: top-1 61.0, balanced 33.3, AUC 0.500" in text


def test_a_model_that_failed_is_a_row_with_its_reason_and_the_others_stand() -> None:
    models, timed, evaluated = whole_study()
    failure = Failure(stage="training", reason="the loss is NaN", advice="a lower learning rate")
    broken = StudiedModel(title="broken", name="broken", failures=(failure,))
    report = study_report([*models, broken], timed, evaluated)
    text = unfolded(report)
    assert "not measured" in text
    assert "broken: training: the loss is NaN" in text
    assert "a lower learning rate" in text
    rows = json.loads(report_json(report))
    assert len(rows) == 9
    assert rows[-1]["failed_stage"] == "training"
    assert rows[-1]["verdict"] == "FAILED"


def test_a_time_that_is_not_valid_has_a_doubtful_place_and_no_part_in_the_sentence() -> None:
    models, timed, evaluated = whole_study()
    unsteady = studies.timed("odd", "onnxruntime", 50.0, MACS["odd"], spread=0.3)
    timed = [record for record in timed if record.cell.runner == "onnxruntime"]
    timed = [record for record in timed if record.cell.model != "odd"] + [unsteady]
    rows = study_rows(models, timed, evaluated)
    (doubted,) = (row for row in rows if row.model.title == "odd" and row.timing is not None)
    assert not doubted.latency_valid
    text = unfolded(study_report(models, timed, evaluated))
    assert "4?" in text
    assert (
        "onnxruntime: the order by latency is the order by MACs; 3 of 3 pairs agree (without odd, "
        "whose time is not VALID)"
    ) in text


def test_where_no_time_is_valid_there_is_no_order_by_latency() -> None:
    models, _, evaluated = whole_study()
    timed = [
        studies.timed(name, "onnxruntime", 50.0, macs, spread=0.3) for name, macs in MACS.items()
    ]
    text = unfolded(study_report(models, timed, evaluated))
    assert "no order by latency: of " in text
    assert "the times are not VALID" in text


def test_csv_json_and_markdown_hold_every_row_with_figures_and_ranks() -> None:
    report = study_report(*whole_study())
    rows = json.loads(report_json(report))
    assert len(rows) == 8
    light = rows[0]
    assert (light["model"], light["runner"]) == ("light", "pytorch")
    assert light["balanced_accuracy"] == 0.4
    assert light["p50_ms"] == 10.0
    assert light["macs_per_image"] == 10**9
    assert (light["rank_by_macs"], light["rank_by_latency"], light["rank_by_accuracy"]) == (1, 1, 4)
    assert light["flipped"] == 0
    assert light["kendall_tau_accuracy_macs"] == 1.0
    assert light["trained_epochs"] == 12
    assert report_csv(report).splitlines()[0].startswith("model,name,image_size")
    assert len(report_csv(report).splitlines()) == 9
    assert "| light" in report_markdown(report)


def test_an_evaluation_without_a_time_is_still_a_row() -> None:
    models, _, evaluated = whole_study()
    rows = study_rows(models, [], evaluated)
    assert len(rows) == 8
    assert rows[0].ranks.latency is None
    assert rows[0].ranks.accuracy is not None
