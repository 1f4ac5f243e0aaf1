"""The table as it is printed: one line a state, marks and notes, and nothing cut off at 112
columns."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from deploybench.report.console import PIPE_WIDTH
from deploybench.report.run_notes import notes_of
from deploybench.report.run_report import run_report
from deploybench.report.table import Report, Table
from deploybench.report.terminal import print_sections
from deploybench.results.launch import EnergyReading, Facts, Launch
from deploybench.results.record import Record
from deploybench.rows.rows import rows_of
from tests.records import launch, record, surroundings
from tests.rows.test_rows import FAR, NEAR, launches, two_states


def printed(records: list[Record], **changes: object) -> str:
    """The report without its answer: the table, the notes, the legend and what follows."""
    return text_of(without_answer(run_report(records, **changes)))


def without_answer(report: Report) -> Report:
    first = next(
        index for index, section in enumerate(report.sections) if isinstance(section, Table)
    )
    return Report(report.sections[first:])


def text_of(report: Report, width: int = PIPE_WIDTH) -> str:
    stream = io.StringIO()
    print_sections(report, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


def header_of(text: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith("runner")).split()


def line_of(text: str, *words: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split()[: len(words)] == list(words)]
    return line


def test_cell_that_met_two_states_has_a_line_for_each_with_its_share() -> None:
    text = printed([two_states(8.0, 13.0)])
    near, far = [line for line in text.splitlines() if line.startswith("pytorch")]
    assert "105 ns 67%" in near
    assert "8.00" in near
    assert "235 ns 33%" in far
    assert "13.0" in far
    assert "the share of launches in it" in text
    assert "9.67" not in text, "the mean of both is no time of this cell"


def test_hop_has_no_column_when_all_cells_met_one_state() -> None:
    text = printed([record(launches(8.0, hop_ns=NEAR))])
    assert "hop" not in text
    assert "105 ns" not in text


def test_columns_of_streams_times_and_energy_are_there_only_with_something_in_them() -> None:
    plain = printed([record(launches(8.0))])
    assert not {"streams", "times", "J/img"} & set(header_of(plain))
    energy = EnergyReading(joules=2.0, source="RAPL")
    full = printed(
        [
            record(launches(8.0)),
            record(launches(4.0, energy=energy), streams=2, timing="engine-only"),
        ]
    )
    assert {"streams", "times", "J/img"} <= set(header_of(full))
    assert "engine-only" in full
    assert "0.10" in full


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (launches(10.0), "2.00 ±0.0% FASTER"),
        (launches(40.0), "0.50 ±0.0% SLOWER"),
        (launches(20.0), "1.00 ±0.0% SAME"),
        (launches(10.0, count=3), "2.00 ?"),
        (
            [launch([20.0 * (1 + 0.1 * (-1) ** n)] * 20, number=n) for n in range(6)],
            "1.01 ±10.6% ?",
        ),
    ],
)
def test_speedup_is_printed_with_its_interval_and_its_answer(
    candidate: list[Launch], words: str
) -> None:
    text = printed([record(launches(20.0)), record(candidate, runner="onnxruntime")])
    assert words in line_of(text, "onnxruntime")
    assert "times faster than pytorch fp32, paired by round" in one_line(text)


def test_ambiguous_speedup_has_a_note_that_says_how_many_rounds_would_settle_it() -> None:
    text = printed([record(launches(20.0)), record(launches(10.0, count=4), runner="onnxruntime")])
    assert "[1, 2]" in line_of(text, "onnxruntime")
    assert (
        "speed-up: 4 pairs of launches, an interval needs 6; about 2 more rounds would settle it"
        in one_line(text)
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


def test_drifting_cell_with_a_valid_speedup_says_so() -> None:
    factors = (1.0, 1.1, 1.2, 1.3, 1.2, 1.1)
    eager = [launch([20 * factor] * 20, number=number) for number, factor in enumerate(factors)]
    other = [launch([10 * factor] * 20, number=number) for number, factor in enumerate(factors)]
    records = [record(eager), record(other, runner="onnxruntime")]
    details = [note.full for note in notes_of(rows_of(records)[1])]
    assert "the speed-up, paired by round, is VALID" in details[0]
    assert "2.00 ±0.0% FASTER" in printed(records)
    assert "DRIFTING" in printed(records)


def test_weak_parity_names_the_option_that_makes_it_say_more() -> None:
    (row,) = rows_of([record(launches(10.0))])
    (note,) = notes_of(replace(row, parity_weak="the outputs hardly depend on the image"))
    assert note.cause == "parity is weak on this model"
    assert "--reference-images" in note.advice


def test_saturation_is_marked_and_the_mark_explained() -> None:
    text = printed([record(launches(10.0), batch=1), record(launches(20.0), batch=2)])
    assert "◂" in line_of(text, "pytorch", "fp32", "1")
    assert "◂" not in line_of(text, "pytorch", "fp32", "2")
    assert "◂ saturates" in text
    assert "saturates" not in printed([record(launches(10.0))])


def test_flipped_launches_interruption_and_missing_rounds_are_noted() -> None:
    flip = launch([10.0] * 20, surroundings=surroundings(NEAR, FAR))
    far = launches(13.0, count=3, hop_ns=FAR)
    mixed = record([*launches(8.0, hop_ns=NEAR), *far, flip], complete=False)
    details = [note.full for row in rows_of([mixed]) for note in notes_of(row)]
    assert "interrupted after 6 launches" in details
    assert any("1 launch met a change of state and counts nowhere" in text for text in details)
    assert "net pytorch: interrupted" in printed([mixed])
    spent = record(launches(8.0)).model_copy(update={"stopped": "budget spent", "more_rounds": 40})
    assert "budget spent: about 40 more rounds for the precision asked for" in one_line(
        printed([spent])
    )


def test_advice_that_rows_share_is_said_once() -> None:
    few = [
        record(launches(10.0, count=2), runner=name)
        for name in ("pytorch", "onnxruntime", "openvino")
    ]
    text = one_line(printed(few))
    assert text.count("measure more rounds: a larger --rounds or --budget") == 1
    assert "[1] net pytorch, net onnxruntime, net openvino: 2 launches count" in text


def test_p99_is_not_available_rather_than_a_maximum() -> None:
    assert "n/a" in line_of(printed([record(launches(20.0))]), "pytorch")
    many = [launch([20.0] * 100, number=number) for number in range(6)]
    assert "n/a" not in line_of(printed([record(many)]), "pytorch")


def test_legend_gives_the_coverage_that_few_launches_have() -> None:
    assert "(covers 75%; 6 rounds: 97%)" in printed([record(launches(10.0, count=3))])
    assert "over launches (95%)" in one_line(printed([record(launches(10.0))]))


def test_models_are_ranked_by_macs_against_latency() -> None:
    small, large = (
        record(launches(10.0), macs=10**8),
        record(launches(5.0), model="large", macs=10**9),
    )
    assert "over 2 models: pytorch -1.00" in printed([small, large])
    assert "n/a (needs two models" in printed([small])


def everywhere(**changes: object) -> list[Record]:
    """Three runners with two states each, energy, large numbers."""
    energy = EnergyReading(joules=2000.0, source="RAPL")

    def one(near: float, far: float, runner: str) -> Record:
        made = launches(near, hop_ns=NEAR, energy=energy) + launches(
            far, count=3, hop_ns=FAR, first=6
        )
        return record(made, runner=runner, **changes)

    return [
        one(12345.6, 23456.7, "pytorch"),
        one(10345.6, 20456.7, "onnxruntime"),
        one(9000.0, 9900.0, "aotinductor"),
    ]


@pytest.mark.parametrize(
    "model", ["net", "timm:vit_small_patch16_224.augreg_in21k_ft_in1k", "package.module:factory"]
)
def test_table_of_two_states_with_energy_fits_into_112_columns(model: str) -> None:
    text = printed(everywhere(model=model))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= PIPE_WIDTH


@pytest.mark.parametrize("width", [20, 40, 80, 100, 112])
def test_no_figure_and_no_column_is_lost_when_there_is_less_room_than_they_need(width: int) -> None:
    records = everywhere(streams=2, batch=1024, timing="engine-only")
    report = without_answer(run_report(records))
    text = text_of(report, width)
    assert "…" not in text
    table = report.tables[0]
    for column in table.columns:
        assert column.heading in one_line(text)
    words = text.split()
    for cell in (cell for line in table.lines for cell in line.cells):
        assert set(cell.text.split()) <= set(words)
    assert max(map(len, text.splitlines())) <= width


def test_line_that_is_long_enough_holds_every_figure_of_a_cell() -> None:
    report = without_answer(run_report(everywhere(streams=2, batch=1024, timing="engine-only")))
    lines = text_of(report, 200).splitlines()
    shown = " ".join(next(line for line in lines if line.startswith("aotinductor")).split())
    assert shown == (
        "aotinductor fp32 1024 2 engine-only 105 ns 67% 9000 0.0% n/a 114 100 0.10 228 100% "
        "1.37 ±0.0% FASTER VALID"
    )


def test_nothing_is_cut_when_several_timings_are_in_one_table() -> None:
    timings = ("host-to-host", "engine-only", "end-to-end")
    runners = ("pytorch", "onnxruntime")
    records = [
        record(launches(123.4), timing=timing, runner=runner)
        for timing in timings
        for runner in runners
    ]
    text = printed(records)
    assert "…" not in text
    assert text.count("engine-only") == text.count("end-to-end") == 2


def test_form_is_shown_where_one_runner_has_artifacts_in_several() -> None:
    dynamic, fixed = (
        record(launches(10.0), form="fp32-dynamic"),
        record(launches(9.0), form="fp32-b1", artifact="/b"),
    )
    assert "fp32-b1" in printed([dynamic, fixed])
    assert "form" not in header_of(printed([dynamic]))


def two_devices() -> list[Record]:
    return [
        record(launches(8.0)),
        record(launches(4.0), runner="onnxruntime"),
        record(launches(2.0), device="cuda"),
        record(launches(0.5), runner="onnxruntime", device="cuda"),
    ]


def test_cells_of_two_devices_are_in_one_table_each_against_its_own_baseline() -> None:
    text = printed(two_devices())
    assert "2.00 ±0.0% FASTER" in line_of(text, "onnxruntime", "cpu")
    assert "4.00 ±0.0% FASTER" in line_of(text, "onnxruntime", "cuda")
    assert "on the same device" in one_line(text)
    assert "measured matmul peak or the peak that the GPU's profile states" in " ".join(
        text.split()
    )
    assert [line.split()[1] for line in text.splitlines()[2:6]] == ["cpu", "cpu", "cuda", "cuda"]


def test_device_has_no_column_when_all_cells_ran_on_one() -> None:
    assert "device" not in header_of(printed(two_devices()[2:]))


def test_launch_by_a_cuda_graph_is_marked_where_there_is_one() -> None:
    assert "graph" not in printed([record(launches(8.0))])
    text = printed(
        [record(launches(8.0)), record(launches(4.0), cuda_graph=True, runner="tensorrt")]
    )
    assert "graph" in line_of(text, "tensorrt").split()
    assert "graph" not in line_of(text, "pytorch").split()


def test_time_on_the_gpu_is_among_the_details_where_it_is_known() -> None:
    def details(records: list[Record]) -> str:
        report = run_report(records, details=True)
        details = [section for section in report.tables if section.title]
        return text_of(Report(tuple(details)), width=400)

    on_gpu = [launch([2.0] * 20, number=number, device_ns=(1_750_000,) * 20) for number in range(6)]
    text = details([record(on_gpu, runner="tensorrt", timing="engine-only"), record(launches(8.0))])
    assert "GPU ms" in text
    assert next(line for line in text.splitlines() if "net tensorrt" in line).split()[-1] == "1.75"
    assert "GPU ms" not in details([record(launches(8.0))])


def test_figures_of_a_double_are_not_shown() -> None:
    facts = Facts(
        precision="fp32", threads=2, provider="TensorRT", device="cuda", provenance="simulated"
    )
    simulated = record(launches(2.125, facts=facts), runner="tensorrt")
    (row,) = rows_of([simulated])
    assert (row.p50_ms, row.provenance, row.verdict) == (None, "simulated", "INVALID")
    text = printed([simulated])
    assert "2.12" not in text
    assert "simulated: a double stood in for the device's library" in " ".join(text.split())


def cells_of(records: list[Record], key: str) -> list[str]:
    """What the table of the records says in one column; nothing where it has none."""
    table = run_report(records).tables[0]
    places = [index for index, column in enumerate(table.columns) if column.key == key]
    return [line.cells[index].text for line in table.lines for index in places]


def test_share_of_a_measured_peak_is_never_over_a_hundred_and_the_legend_says_why() -> None:
    within, above = record(launches(40.0)), record(launches(10.0), runner="onnxruntime")
    assert cells_of([within], "share_of_peak") == ["50%"]
    assert "raised" not in printed([within])
    assert cells_of([within, above], "share_of_peak") == ["25%", "100%"]
    legend = "matmul peak, raised to what the calls of a row reached"
    assert legend in one_line(printed([within, above]))


def test_share_of_a_stated_peak_that_was_exceeded_is_shown_nowhere_and_the_legend_says_why() -> (
    None
):
    within = record(launches(40.0), device="cuda")
    above = record(launches(10.0), device="cuda", runner="onnxruntime")
    assert cells_of([within], "share_of_peak") == ["50%"]
    assert cells_of([within, above], "share_of_peak") == ["n/a", "n/a"]
    assert "so the peak cannot be trusted" in one_line(printed([within, above]))


def test_share_of_the_peak_of_a_time_that_is_not_valid_is_not_shown() -> None:
    few = record(launches(40.0, count=3))
    assert cells_of([few], "share_of_peak") == ["n/a"]
    assert "n/a where the time is not VALID" in one_line(printed([few]))


def test_interval_beyond_a_hundred_percent_is_a_word() -> None:
    wild = [launch([20.0 * 4 ** (number % 3)] * 20, number=number) for number in range(6)]
    assert cells_of([record(wild)], "half_width") == ["wide"]
    assert "wide: wider than ±100%" in one_line(printed([record(wild)]))


def test_cell_whose_launches_all_met_a_change_of_state_shows_its_number_marked() -> None:
    flip = launch([10.0] * 20, surroundings=surroundings(NEAR, FAR))
    made = record([flip] * 3)
    assert rows_of([made])[0].p50_ms is None
    assert cells_of([made], "p50_ms") == ["~10.0"]
    assert "of no one state" in one_line(printed([made]))


def test_rate_that_contradicts_the_median_of_an_unsteady_cell_is_not_shown() -> None:
    uneven = [launch([100.0] * 20, number=number, window_ns=10**9) for number in range(3)]
    assert cells_of([record(uneven)], "images_per_s") == ["n/a"]
    assert "too uneven for one rate" in one_line(printed([record(uneven)]))


def test_rows_of_two_artifacts_runs_or_hosts_differ_in_what_is_shown() -> None:
    first = record(launches(10.0))
    twin = record(launches(10.0), artifact="/b", artifact_key="b" * 64)
    assert cells_of([first, twin], "artifact_key") == ["kkkkkkkk", "bbbbbbbb"]
    other_run = first.model_copy(update={"run": "20260102-000000-bbbb"})
    assert cells_of([first, other_run], "run") == [first.run, other_run.run]
    other_host = first.model_copy(update={"host": first.host.model_copy(update={"hostname": "b"})})
    assert cells_of([first, other_host], "host") == ["here", "b"]
    assert cells_of([first], "run") == cells_of([first], "host") == []


def test_causes_that_rows_share_are_one_note_each_and_the_details_are_told_apart() -> None:
    factors = (1.0, 1.1, 1.2, 1.3, 1.2, 1.1)
    drifting = [
        record(
            [launch([ms * factor**power] * 20, number=n) for n, factor in enumerate(factors)],
            runner=f"runner-{ms}",
        )
        for ms, power in ((10, 1), (11, 2), (12, 3), (13, 4))
    ]
    assert "[1] 4 rows: the machine changed speed while they ran" in printed(drifting)
    full = one_line(text_of(run_report(drifting, details=True), width=400))
    assert full.count("launches spread") == 4
