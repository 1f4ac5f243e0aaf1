"""Rows: one a state of the machine, each figure what its name says, as data without holes."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import asdict
from typing import Any

import pytest

from deploybench.results.launch import Facts, Launch
from deploybench.results.record import Record
from deploybench.rows.row import field_names, to_csv, to_json
from deploybench.rows.rows import rows_of
from tests.records import launch, parity, record, surroundings
from tests.visits import visited_record

NEAR, FAR = 105.0, 235.0
RUN = "20260101-000000-aaaa"


def launches(
    ms: float, *, count: int = 6, hop_ns: float | None = None, first: int = 0, **changes: object
) -> list[Launch]:
    return [
        launch([ms] * 20, number=number, hop_ns=hop_ns, **changes)
        for number in range(first, first + count)
    ]


def two_states(near_ms: float, far_ms: float, **changes: object) -> Record:
    """Six rounds in the near state, three in the far one."""
    made = launches(near_ms, hop_ns=NEAR) + launches(far_ms, count=3, hop_ns=FAR, first=6)
    return record(made, **changes)


def test_cell_that_met_two_states_has_two_rows_and_no_number_of_both() -> None:
    near, far = rows_of([two_states(8.0, 13.0)])
    assert (near.state_hop_ns, near.p50_ms, near.launches, near.main_state) == (NEAR, 8.0, 6, True)
    assert (far.state_hop_ns, far.p50_ms, far.launches, far.main_state) == (FAR, 13.0, 3, False)
    assert (near.state_share, far.state_share) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    for row, ms in ((near, 8.0), (far, 13.0)):
        assert row.states_seen == 2
        times = [row.p50_low_ms, row.p50_high_ms, row.p90_ms, row.p90_low_ms, row.p90_high_ms]
        assert set(times) <= {ms, None}
        assert row.throughput_images_per_s == pytest.approx(1000 / ms, rel=1e-3)


def test_state_has_its_own_speedup_over_the_same_state_of_the_baseline() -> None:
    eager, other = two_states(20.0, 30.0), two_states(10.0, 20.0, runner="onnxruntime")
    rows = rows_of([eager, other])
    assert [
        (row.runner, row.state_hop_ns, row.speedup and round(row.speedup, 3)) for row in rows
    ] == [
        ("pytorch", NEAR, None),
        ("pytorch", FAR, None),
        ("onnxruntime", NEAR, 2.0),
        ("onnxruntime", FAR, 1.5),
    ]
    assert [row.speedup_verdict for row in rows[2:]] == ["VALID", "UNSTABLE"]
    assert [row.speedup_answer for row in rows[2:]] == ["FASTER", "AMBIGUOUS"]
    assert "more rounds would settle it" in rows[3].speedup_reason


def test_machine_without_a_hop_probe_has_one_row_without_a_state() -> None:
    (row,) = rows_of([record(launches(10.0))])
    assert (row.state_hop_ns, row.state_share, row.states_seen) == (None, 1.0, 1)


@pytest.mark.parametrize(
    ("changes", "compared"),
    [
        ({}, True),
        ({"precision": "bf16"}, True),
        ({"batch": 8}, False),
        ({"threads": 1}, False),
        ({"streams": 2}, False),
        ({"timing": "engine-only"}, False),
        ({"model": "other"}, False),
        ({"image_size": (160, 160)}, False),
        ({"weights_identity": "trained"}, False),
    ],
)
def test_speedup_is_over_a_baseline_that_does_the_same_job(
    changes: dict[str, object], compared: bool
) -> None:
    rows = rows_of(
        [record(launches(20.0)), record(launches(10.0), runner="onnxruntime", **changes)]
    )
    found = next(row for row in rows if row.runner == "onnxruntime")
    assert (found.speedup is not None) == compared
    assert found.baseline == ("pytorch" if compared else None)


def test_reduced_precision_of_the_baseline_s_runner_is_compared_with_its_fp32() -> None:
    full, half = rows_of([record(launches(10.0), precision="bf16"), record(launches(20.0))])
    assert (full.precision, half.asked_precision) == ("fp32", "bf16"), "the baseline stands first"
    assert (full.speedup, half.speedup) == (None, pytest.approx(2))
    alone = record(launches(10.0), precision="bf16")
    assert rows_of([alone])[0].baseline is None


def test_baseline_may_be_another_runner_and_then_comes_first() -> None:
    rows = rows_of(
        [record(launches(20.0)), record(launches(10.0), runner="openvino")], baseline="openvino"
    )
    assert [(row.runner, row.baseline) for row in rows] == [
        ("openvino", None),
        ("pytorch", "openvino"),
    ]
    assert rows[1].speedup == pytest.approx(0.5)
    assert rows[1].speedup_answer == "SLOWER"


def test_margin_decides_whether_a_speedup_is_the_same() -> None:
    records = [record(launches(10.3)), record(launches(10.0), runner="openvino")]
    assert rows_of(records, margin=0.02)[1].speedup_answer == "FASTER"
    assert rows_of(records, margin=0.05)[1].speedup_answer == "SAME"


def test_precision_in_the_row_is_what_ran_beside_what_was_asked() -> None:
    facts = launch([1.0] * 20).facts
    assert facts is not None
    ran = facts.model_copy(update={"precision": "bf16", "threads": 1})
    (row,) = rows_of([record([Launch(refused="asked for fp32", facts=ran)])])
    assert (row.asked_precision, row.precision, row.asked_threads, row.threads) == (
        "fp32",
        "bf16",
        2,
        1,
    )
    assert (row.verdict, row.p50_ms, row.peak_memory_mib) == ("INVALID", None, None)


def test_cell_of_wrong_outputs_has_no_figure_of_speed_or_memory() -> None:
    wrong = [launch([10.0] * 20, parity=parity(passed=False, reason="cosine 0.2"))]
    (row,) = rows_of([record(wrong)])
    assert row.verdict == "INVALID"
    shown = asdict(row)
    for name in (
        "p50_ms",
        "p90_ms",
        "throughput_images_per_s",
        "peak_memory_mib",
        "achieved_gflops",
        "cold_start_s",
    ):
        assert shown[name] is None, name


@pytest.mark.parametrize(
    ("from_cache", "cold_s", "cached_s"),
    [
        ((None, None), 1.0, None),
        ((False, True), 1.0, 1.0),
        # Nobody saw the first start on this machine.
        ((True, True), None, 1.0),
    ],
)
def test_start_of_a_cell_that_was_found_compiled_is_not_called_a_cold_one(
    from_cache: tuple[bool | None, ...], cold_s: float | None, cached_s: float | None
) -> None:
    phases = {"start_s": 0.25, "import_s": 0.25, "load_s": 0.25, "compile_s": 0.125}
    made = []
    for found in from_cache:
        facts = Facts(precision="fp32", threads=1, provider="p", device="cpu", from_cache=found)
        made.append(launch([10.0] * 20, facts=facts, first_inference_ms=125.0, **phases))
    (row,) = rows_of([record(made)])
    assert (row.cold_start_s, row.cached_start_s) == (cold_s, cached_s)


def test_sweep_over_batches_marks_where_it_saturates_and_what_an_image_more_costs() -> None:
    def at(batch: int, ms: float, peak_mib: int) -> Record:
        made = launches(ms)
        memory = made[0].memory
        assert memory is not None
        grown = memory.model_copy(update={"peak_bytes": memory.baseline_bytes + (peak_mib << 20)})
        return record([item.model_copy(update={"memory": grown}) for item in made], batch=batch)

    rows = rows_of([at(8, 45.0, 240), at(1, 10.0, 100), at(2, 12.0, 120), at(4, 22.0, 160)])
    assert [row.batch for row in rows] == [1, 2, 4, 8]
    assert [row.saturates for row in rows] == ["", "", "batch", ""]
    assert [row.memory_per_image_mib for row in rows] == [pytest.approx(20)] * 4


def test_sweep_over_streams_marks_where_it_saturates_but_has_no_memory_per_image() -> None:
    rows = rows_of(
        [record(launches(ms), streams=count) for count, ms in ((1, 10.0), (2, 9.9), (4, 9.9))]
    )
    assert [row.saturates for row in rows] == ["streams", "", ""]
    assert {row.memory_per_image_mib for row in rows} == {None}


def test_sweeps_of_two_runners_or_timings_do_not_mix() -> None:
    rows = rows_of(
        [
            record(launches(10.0), batch=1),
            record(launches(20.0), batch=2, runner="openvino"),
            record(launches(40.0), batch=4, timing="engine-only"),
        ]
    )
    assert {row.saturates for row in rows} == {""}
    assert {row.memory_per_image_mib for row in rows} == {None}


def test_sweep_is_read_within_each_state() -> None:
    rows = rows_of([two_states(10.0, 15.0, batch=1), two_states(20.0, 15.0, batch=2)])
    assert [(row.batch, row.state_hop_ns, row.saturates) for row in rows] == [
        (1, NEAR, "batch"),
        (1, FAR, ""),
        (2, NEAR, ""),
        (2, FAR, ""),
    ]


def test_flops_are_twice_the_macs_and_the_share_of_peak_is_of_images_a_second() -> None:
    (row,) = rows_of([record(launches(10.0), macs=10**8)])
    assert row.flops_per_image == 2 * 10**8
    assert row.achieved_gflops == pytest.approx(20, rel=1e-3)
    assert row.share_of_peak == pytest.approx(0.2, rel=1e-3)
    (unknown,) = rows_of([record(launches(10.0), macs=None)])
    assert (unknown.flops_per_image, unknown.achieved_gflops, unknown.share_of_peak) == (
        None,
        None,
        None,
    )


def test_memory_of_each_phase_has_the_baseline_taken_off() -> None:
    (row,) = rows_of([record(launches(10.0))])
    phases = (
        row.imported_memory_mib,
        row.loaded_memory_mib,
        row.compiled_memory_mib,
        row.first_inference_memory_mib,
    )
    assert phases == (10, 40, 40, 45)
    assert (row.peak_memory_mib, row.baseline_memory_mib) == (100, 50)


def parsed(text: str) -> Any:
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def every_kind_of_record() -> list[Record]:
    flip = launch([10.0] * 20, surroundings=surroundings(NEAR, FAR))
    return [
        two_states(20.0, 30.0),
        two_states(10.0, 20.0, runner="onnxruntime"),
        record([Launch(error="killed")], runner="openvino"),
        record([flip] * 3, runner="inductor"),
        record(launches(10.0, count=1), runner="torchscript", model="other"),
        record(launches(10.0), runner="torchscript", model="third", macs=None),
    ]


def test_rows_are_json_without_nan_and_with_every_field() -> None:
    rows = rows_of(every_kind_of_record())
    found = parsed(to_json(rows))
    assert len(found) == len(rows) == 8
    assert all(set(item) == set(field_names()) for item in found)
    assert [item["p50_ms"] for item in found] == [row.p50_ms for row in rows]
    assert all(
        math.isfinite(value)
        for item in found
        for value in item.values()
        if isinstance(value, float)
    )


def test_rows_are_csv_with_the_same_values() -> None:
    rows = rows_of(every_kind_of_record())
    printed = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [row["p50_ms"] for row in printed] == [
        "" if row.p50_ms is None else str(row.p50_ms) for row in rows
    ]
    assert [row["reason"] for row in printed] == [row.reason for row in rows]


@pytest.mark.trust(
    item=23,
    case="to_csv of the Python API: a model called =cmd|… with an escape code",
    before="a formula to a spreadsheet, and the code as it is",
    now="a text after an apostrophe, and \\x1b spelled out, as in the command's CSV",
)
def test_rows_as_csv_and_json_hold_no_formula_and_no_escape_code() -> None:
    hostile = record(launches(10.0), model="=cmd|' /C calc'!A0 \x1b[2J\x7f\r\n+1")
    rows = rows_of([hostile])
    [printed] = csv.DictReader(io.StringIO(to_csv(rows)))
    assert printed["model"] == "'=cmd|' /C calc'!A0 \\x1b[2J\\x7f +1"
    for text in (to_csv(rows), to_json(rows)):
        assert not set(text) & {"\x1b", "\x7f", "\r"}


def test_interval_of_an_undisturbed_time_that_is_not_known_covers_nothing() -> None:
    (known,) = rows_of([visited_record(7.8, 13.2)])
    assert (known.undisturbed_known, known.p50_coverage) == (True, 0.95)
    (doubted,) = rows_of([visited_record(7.8, 13.2, changes={"known": False})])
    assert (doubted.undisturbed_known, doubted.p50_coverage) == (False, 0.0)
    assert doubted.p50_low_ms is not None, "how wide it is at least is told"


def test_sweep_over_batches_is_read_on_each_device_alone() -> None:
    """The GPU still gains at 2; both together would look saturated."""
    made = [record(launches(ms), batch=batch) for batch, ms in ((1, 10.0), (2, 20.0))]
    made += [
        record(launches(ms), batch=batch, device="cuda") for batch, ms in ((1, 10.0), (2, 10.0))
    ]
    assert [(row.device, row.batch, row.saturates) for row in rows_of(made)] == [
        ("cpu", 1, "batch"),
        ("cpu", 2, ""),
        ("cuda", 1, ""),
        ("cuda", 2, ""),
    ]


def test_what_the_runtime_allocated_is_apart_from_what_the_driver_tells() -> None:
    facts = Facts(
        precision="fp32", threads=2, provider="eager", device="cuda:0", device_bytes=3 << 20
    )
    (row,) = rows_of([record(launches(10.0, facts=facts), device="cuda")])
    assert (row.device, row.device_allocated_mib, row.device_memory_mib) == ("cuda", 3.0, None)
