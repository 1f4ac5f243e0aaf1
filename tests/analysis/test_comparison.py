"""What is joined, what is refused as unlike, and the speed-up in each state of the machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.comparison import (
    Comparison,
    Status,
    answer_of,
    compare_records,
    rounds_to_settle,
    width_that_answers,
)
from deploybench.analysis.matching import ALLOWABLE, Axis, read_allowed, read_axis
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer
from tests.comparisons import FAR_NS, NEAR_NS, gpu, host, launch, launches, record

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]
MEDIANS = st.lists(st.floats(1, 100), min_size=4, max_size=9)


STEADY_RUNS = OtherRuns(given=0.0)
"""Runs that do not shift as a whole: the launches alone are looked at. Whole runs that do have
tests of their own (test_between_runs.py)."""


def only(baseline: Record, candidate: Record, **options: object) -> Comparison:
    (row,) = compare_records([baseline], [candidate], **{"others": STEADY_RUNS, **options})
    return row


def test_speed_up_is_baseline_time_over_candidate_time_with_an_unpaired_interval_between_runs() -> (
    None
):
    row = only(record(STEADY), record([ms / 2 for ms in STEADY], "after"))
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(2, rel=1e-3)
    assert row.ratio.low > 1.9
    assert not row.ratio.paired
    assert answer_of(row) is Answer.FASTER
    assert row.baseline is not None
    assert row.baseline.p50_ms == pytest.approx(10.01)


def test_ratio_is_paired_by_round_when_both_records_come_from_one_run() -> None:
    drift = [10.0, 20.0, 11.0, 17.0, 13.0, 15.0]
    row = only(
        record(drift), record([ms / 1.1 for ms in drift], runner="openvino"), across=axis("runner")
    )
    assert row.ratio is not None
    assert row.ratio.paired
    assert row.ratio.low == pytest.approx(1.1, rel=1e-3) == row.ratio.high


def test_ratio_is_not_paired_when_the_rounds_of_one_run_were_on_two_hosts() -> None:
    there = record(STEADY, machine=host(hostname="there"), runner="openvino")
    row = only(record(STEADY), there, across=axis("runner"), allowed=["host"])
    assert row.ratio is not None
    assert not row.ratio.paired


def rounds_to_answer(row: Comparison) -> int | None:
    return rounds_to_settle(row, width_that_answers(row))


def axis(field: str) -> Axis:
    return read_axis({"runner": "runner=onnxruntime,openvino", "model": "model=net,other"}[field])


@given(MEDIANS, MEDIANS)
def test_swapping_the_sides_inverts_the_ratio_and_its_interval(
    first: list[float], second: list[float]
) -> None:
    there, back = (
        only(record(first), record(second, "after")),
        only(record(second, "after"), record(first)),
    )
    assert there.ratio is not None
    assert back.ratio is not None
    assert there.ratio.value == pytest.approx(1 / back.ratio.value)
    assert there.ratio.low == pytest.approx(1 / back.ratio.high)
    assert there.ratio.high == pytest.approx(1 / back.ratio.low)


@pytest.mark.parametrize(
    ("name", "words", "changes"),
    [
        ("batch", "batch 1 → 8", {"batch": 8}),
        ("precision", "precision fp32 → bf16", {"precision": "bf16"}),
        ("threads", "threads 2 → 1", {"threads": 1}),
        ("streams", "streams 1 → 2", {"streams": 2}),
        ("timing", "timing host-to-host → engine-only", {"timing": "engine-only"}),
        ("graph", "graph False → True", {"cuda_graph": True}),
        ("form", "form fp32-dynamic → fp32-b1", {"form": "fp32-b1"}),
        ("weights", "weights random seed 0 → abc", {"weights_identity": "abc"}),
        ("host", "host here → there", {"machine": host(hostname="there")}),
        ("host", "2 usable cores → AMD EPYC, 1 usable core", {"machine": host(usable_cores=1)}),
        ("version", "deploybench 1 → 2", {"machine": host(versions={"deploybench": "2"})}),
    ],
)
def test_unlike_rows_are_refused_with_what_differs_and_compared_when_that_is_allowed(
    name: str, words: str, changes: dict[str, object]
) -> None:
    baseline, candidate = record(STEADY), record(STEADY, "after", **changes)
    row = only(baseline, candidate)
    assert (row.status, row.ratio, answer_of(row)) == (Status.UNLIKE, None, None)
    assert words in row.reason
    assert f"--allow {name}" in row.reason
    assert (
        only(baseline, candidate, allowed=[other for other in ALLOWABLE if other != name]).ratio
        is None
    )
    compared = only(baseline, candidate, allowed=[name])
    assert compared.ratio is not None
    assert any(words in note for note in compared.notes)


def test_another_effective_precision_is_unlike_although_the_same_was_asked() -> None:
    row = only(record(STEADY), record(launches(STEADY, precision="bf16"), "after"))
    assert row.status is Status.UNLIKE
    assert "effective precision fp32 → bf16" in row.reason


def test_another_gpu_is_unlike_only_for_cells_that_run_on_it() -> None:
    cards = [host(gpus=(gpu(name),)) for name in ("RTX 3090", "GTX 1080 Ti")]
    on_cpu = [record(STEADY, name, machine=card) for name, card in zip("ab", cards, strict=True)]
    on_gpu = [
        record(STEADY, name, machine=card, device="cuda")
        for name, card in zip("ab", cards, strict=True)
    ]
    assert only(*on_cpu).status is Status.COMPARED
    assert only(*on_gpu).status is Status.UNLIKE


def test_exact_partner_is_taken_before_a_near_one_and_each_record_once() -> None:
    baseline = [record(STEADY, batch=8), record(STEADY, batch=1)]
    candidate = [record(STEADY, "after", batch=1), record(STEADY, "after", batch=16)]
    found = [
        (row.status, [cell.batch for cell in row.cells])
        for row in compare_records(baseline, candidate)
    ]
    assert found == [(Status.UNLIKE, [8, 16]), (Status.COMPARED, [1, 1])]


def test_cells_of_another_model_or_runner_are_on_one_side_only() -> None:
    rows = compare_records(
        [record(STEADY), record(STEADY, model="old")], [record(STEADY, "after", runner="openvino")]
    )
    assert [row.status for row in rows] == [
        Status.ONLY_BASELINE,
        Status.ONLY_BASELINE,
        Status.ONLY_CANDIDATE,
    ]


def test_latest_record_of_a_cell_counts_when_a_side_has_it_twice() -> None:
    old = [
        record([20.0] * 6, "newer", created="2026-01-02"),
        record([10.0] * 6, "older", created="2026-01-01"),
    ]
    (row,) = compare_records(old, [record([10.0] * 6, "after")])
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(2)


def test_library_versions_that_differ_are_noted_not_refused() -> None:
    row = only(record(STEADY), record(STEADY, "after", versions={"onnxruntime": "1.31"}))
    assert row.status is Status.COMPARED
    assert row.notes == ("onnxruntime 1.30 → 1.31",)


def test_other_cpus_that_processes_were_kept_on_are_noted_not_refused() -> None:
    def kept_on(cpus: tuple[int, ...] | None, run: str) -> Record:
        return record([launch(ms, number, pinned=cpus) for number, ms in enumerate(STEADY)], run)

    row = only(kept_on(None, "before"), kept_on((0, 1, 2, 8), "after"))
    assert row.status is Status.COMPARED
    assert row.notes == ("not pinned → pinned to CPUs 0-2,8",)
    row = only(kept_on((0, 1), "before"), kept_on((0, 1), "after"))
    assert row.notes == ()


def test_states_of_the_machine_are_compared_each_with_its_own() -> None:
    def two_states(near_ms: float, far_ms: float, run: str, hop: float) -> Record:
        near = [launch(near_ms, number, hop_ns=NEAR_NS * hop) for number in range(6)]
        far = [launch(far_ms, number, hop_ns=FAR_NS * hop) for number in range(6, 11)]
        return record([*near, *far], run)

    rows = compare_records([two_states(10, 16, "before", 1.0)], [two_states(9, 8, "after", 1.05)])
    found = [
        (round(row.hop_ns or 0), row.ratio.value if row.ratio else 0, row.notes) for row in rows
    ]
    assert found == [(108, pytest.approx(10 / 9), ()), (241, pytest.approx(2), ())]


def test_state_that_only_one_side_saw_is_noted_and_no_common_state_is_no_number() -> None:
    both = record([*launches([10.0] * 6), *launches([16.0] * 6, hop_ns=FAR_NS)])
    far = record(launches([16.0] * 6, hop_ns=FAR_NS), "after")
    near = record([10.0] * 6, "after")
    row = only(both, far)
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(1)
    assert row.notes == ("states on one side only: baseline 105 ns and 235 ns, candidate 235 ns",)
    alone = only(record(launches([16.0] * 6, hop_ns=FAR_NS)), near)
    assert (alone.status, alone.ratio) == (Status.NO_COMMON_STATE, None)
    assert "baseline 235 ns, candidate 105 ns" in alone.reason


def test_rounds_in_which_the_machine_changed_state_are_set_aside_and_said_so() -> None:
    slow = [launch(40.0, number, hop_after_ns=FAR_NS) for number in (6, 7)]
    row = only(
        record([*launches([10.0] * 6), *slow]),
        record([8.0] * 8, runner="openvino"),
        across=axis("runner"),
    )
    assert row.ratio is not None
    assert (row.ratio.count, row.ratio.high) == (6, pytest.approx(1.25))
    assert row.notes == ("2 rounds set aside: the machine changed state",)


def test_cell_of_one_thread_has_no_hop_probe_and_is_still_paired_with_one_of_two() -> None:
    one = record(launches([20.0] * 6, hop_ns=None), threads=1)
    row = only(one, record([10.0] * 6), across=read_axis("threads=1,2"))
    assert row.ratio is not None
    assert (row.ratio.value, row.hop_ns) == (pytest.approx(2), NEAR_NS)
    assert row.baseline is not None
    assert row.baseline.p50_ms == 20


def test_side_whose_launches_all_changed_state_has_no_common_state() -> None:
    flipping = record([launch(10.0, number, hop_after_ns=FAR_NS) for number in range(6)], "after")
    row = only(record(STEADY), flipping)
    assert row.status is Status.NO_COMMON_STATE
    assert "candidate changed state during every launch" in row.reason


def test_disturbed_launches_do_not_count_between_runs_when_enough_others_do() -> None:
    calm = launches([10.0] * 6)
    around = calm[0].surroundings
    assert around is not None
    busy = launches([30.0] * 5, surroundings=around.model_copy(update={"foreign_cpu_share": 0.5}))
    row = only(record([*calm, *busy]), record([10.0] * 6, "after"))
    assert row.ratio is not None
    assert (row.ratio.value, row.ratio.high) == (pytest.approx(1), pytest.approx(1))


def test_interval_between_runs_is_widened_by_what_the_machine_s_own_probes_moved() -> None:
    before, after = record(STEADY), record(launches(STEADY, compute_us=44.0), "after")
    row, still = only(before, after), only(before, record(STEADY, "after"))
    assert row.ratio is not None
    assert still.ratio is not None
    assert row.ratio.low == pytest.approx(still.ratio.low / 1.1)
    assert row.ratio.high == pytest.approx(still.ratio.high * 1.1)
    assert row.notes == ("the machine's compute probe moved 10.0% between the runs",)
    assert (answer_of(still), answer_of(row)) == (Answer.SAME, Answer.AMBIGUOUS)
    assert rounds_to_answer(row) is None


def test_unlike_hardware_is_compared_in_the_state_each_machine_was_in_most() -> None:
    other = host(hostname="there", cpu_model="Intel Xeon")
    candidate = record(launches([5.0] * 6, hop_ns=400.0, compute_us=20.0), "after", machine=other)
    row = only(record([10.0] * 6), candidate, allowed=["host"])
    assert row.ratio is not None
    assert (row.ratio.low, row.hop_ns, row.machine_shift) == (pytest.approx(2), None, 0)


def test_side_without_a_number_has_no_ratio_and_says_why() -> None:
    crashed = record([launch(10.0, error="out of memory", samples_ns=())], "after")
    row = only(record(STEADY), crashed)
    assert (row.status, row.ratio) == (Status.NO_NUMBER, None)
    assert row.reason == "candidate FAILED: out of memory"


def test_few_launches_are_ambiguous_and_say_how_many_more_are_needed() -> None:
    row = only(record([10.0, 10.1, 9.9]), record([5.0, 5.1, 4.9], "after"))
    assert answer_of(row) is Answer.AMBIGUOUS
    assert rounds_to_settle(row, 0.01) == 3


def test_rounds_that_would_settle_grow_with_the_width_of_the_interval() -> None:
    wide, wider = ([10 + width * step for step in (-3, -2, -1, 1, 2, 3)] for width in (0.05, 0.075))
    slower = [[1.01 * ms for ms in medians] for medians in (wide, wider)]
    rows = [
        only(record(first), record(second, "after"))
        for first, second in zip((wide, wider), slower, strict=True)
    ]
    asked = [rounds_to_answer(row) or 0 for row in rows]
    assert [answer_of(row) for row in rows] == [Answer.AMBIGUOUS] * 2
    assert 0 < asked[0] < asked[1]


def test_answer_between_runs_is_ambiguous_when_a_side_drifted_and_no_rounds_are_promised() -> None:
    drifted = [10.0, 11.0, 12.0, 13.0, 14.0, 15.0]
    row = only(record([5.0] * 6), record(drifted, "after"))
    assert row.ratio is not None
    assert row.ratio.high < 1
    assert answer_of(row) is Answer.AMBIGUOUS
    assert width_that_answers(row) is None


def test_across_compares_two_runners_of_one_run_and_leaves_the_others_out() -> None:
    formed = {"backend": "openvino", "form": "fp32-dynamic-ir"}
    records = [
        record([10.0] * 6),
        record([8.0] * 6, runner="openvino", **formed),
        record([12.0] * 6, runner="pytorch"),
        record([20.0] * 6, batch=4),
        record([10.0] * 6, runner="openvino", batch=4, **formed),
    ]
    rows = compare_records(records, records, across=axis("runner"))
    found = [
        ([cell.runner for cell in row.cells], row.ratio.value if row.ratio else None)
        for row in rows
    ]
    sides = ["onnxruntime", "openvino"]
    assert found == [(sides, pytest.approx(1.25)), (sides, pytest.approx(2))]
    assert [row.notes for row in rows] == [(), ()]


def test_across_a_value_that_no_record_has_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="unknown runner 'openvino'"):
        compare_records([record(STEADY)], [record(STEADY)], across=axis("runner"))


def test_same_run_on_both_sides_is_refused() -> None:
    with pytest.raises(
        DeployBenchError, match="2 records of run before are on both sides"
    ) as refusal:
        compare_records(
            [record(STEADY), record(STEADY, batch=2)], [record(STEADY), record(STEADY, batch=2)]
        )
    assert "--across" in (refusal.value.action or "")


@pytest.mark.parametrize(
    "text", ["runner", "runner=a", "runner=a,a", "runner=a,b,c", "batch=1,2", "runner=a,"]
)
def test_axis_that_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(DeployBenchError, match="--across"):
        read_axis(text)


def test_all_allows_everything_and_an_unknown_name_is_refused() -> None:
    assert read_allowed(["all"]) == set(ALLOWABLE)
    assert read_allowed(["batch"]) == {"batch"}
    with pytest.raises(DeployBenchError, match="unknown kind of difference 'bach'"):
        read_allowed(["bach"])


def test_across_compares_the_cpu_with_the_gpu_of_one_host() -> None:
    there = host(gpus=(gpu("NVIDIA GeForce RTX 3090"),))
    on_cpu = record([10.0] * 6, machine=there)
    on_gpu = record(launches([1.0] * 6, hop_ns=None), machine=there, device="cuda")
    row = only(on_cpu, on_gpu, across=read_axis("device=cpu,cuda"))
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(10.0)
