"""Peaks that were measured are as high as what the cells of the run reached; stated ones stay."""

from __future__ import annotations

import pytest

from deploybench.analysis.findings import contradicted_roofs, findings_of
from deploybench.analysis.reached import CellUnderRoof, raised_roofs
from deploybench.results.record import Bound, Record
from deploybench.rows.rows import rows_of
from tests.records import launch, record
from tests.rows.test_rows import launches


def bound(compute_ms: float, memory_ms: float, unfused_ms: float | None = None) -> Bound:
    return Bound(
        roof="host",
        precision="fp32",
        batch=1,
        flops=2 * 10**9,
        moved_bytes=10**6,
        compute_ms=compute_ms,
        memory_ms=memory_ms,
        unfused_ms=unfused_ms,
    )


def at(p50_ms: float, *, runner: str = "pytorch", **changes: object) -> Record:
    """A record of a model of 2 GFLOP: at 20 ms it reaches the 100 GFLOP/s of its peak."""
    made = record(launches(p50_ms), runner=runner)
    return made.replaced(**{"bound": bound(20.0, 1.0), **changes})


def test_peak_that_a_cell_exceeds_is_raised_for_every_cell_of_the_run() -> None:
    within, above = at(40.0), at(10.0, runner="onnxruntime")
    slow, fast = rows_of([within, above])
    # To the last digit it is the median call that reached most, not the wall time.
    assert fast.share_of_peak == pytest.approx(1.0)
    assert fast.share_of_peak <= 1
    assert fast.times_bound == 1.0
    assert (slow.share_of_peak, slow.times_bound) == pytest.approx((0.25, 4.0), rel=1e-3)
    assert (slow.peak_raised, fast.peak_raised) == (True, True)
    assert slow.peak_gflops == pytest.approx(200, rel=1e-3)
    assert contradicted_roofs(findings_of([within, above])) == set()


def test_peak_that_nothing_exceeds_stays() -> None:
    (row,) = rows_of([at(40.0)])
    assert (row.peak_gflops, row.peak_raised, row.bound_ms) == (100.0, False, 20.0)


def test_peak_of_another_run_or_precision_is_not_raised() -> None:
    other_run = at(40.0, run="20260202-000000-bbbb")
    other_precision = at(40.0, cell=at(40.0).cell.replaced(precision="bf16"))
    above = at(10.0, runner="onnxruntime")
    rows = rows_of([above, other_run, other_precision])
    peaks = {(row.run, row.asked_precision): row.peak_gflops for row in rows if row.p50_ms == 40}
    assert set(peaks.values()) == {100.0}
    assert len(peaks) == 2


def test_peak_of_fp32_is_that_of_weights_of_8_bits_too() -> None:
    weights = at(40.0, cell=at(40.0).cell.replaced(precision="int8-weights"))
    above, small = rows_of([at(10.0, runner="onnxruntime"), weights])
    assert small.peak_gflops == above.peak_gflops == pytest.approx(200, rel=1e-3)


def test_time_that_is_not_valid_raises_no_peak_and_has_no_share_above_it() -> None:
    few = record([launch([10.0] * 20, number=number) for number in range(3)], runner="openvino")
    few = few.replaced(bound=bound(20.0, 1.0))
    steady, doubtful = rows_of([at(40.0), few])
    assert steady.share_of_peak == pytest.approx(0.5, rel=1e-3)
    assert doubtful.achieved_gflops == pytest.approx(200, rel=1e-3)
    assert (doubtful.share_of_peak, doubtful.times_bound) == (None, None)


def test_peak_that_a_profile_states_is_contradicted_and_never_raised() -> None:
    def on_gpu(p50_ms: float) -> Record:
        made = at(p50_ms)
        return made.replaced(cell=made.cell.replaced(device="cuda", runner=f"at{p50_ms:.0f}"))

    records = [on_gpu(40.0), on_gpu(10.0)]
    rows = rows_of(records)
    by_time = {row.p50_ms: (row.share_of_peak, row.times_bound) for row in rows}
    assert by_time[40.0] == pytest.approx((0.5, 2.0), rel=1e-3)
    assert by_time[10.0] == (None, None)
    assert {row.peak_gflops for row in rows} == {100.0}
    assert contradicted_roofs(findings_of(records)) == {(records[0].run, "cuda")}


def under_roof(**changes: object) -> CellUnderRoof:
    figures = {"peak_gflops": 100.0, "bound": bound(20.0, 1.0), **changes}
    return CellUnderRoof(run="run", device="cpu", precision="fp32", **figures)  # type: ignore[arg-type]


def test_call_that_moves_more_than_the_memory_could_raises_the_bandwidth() -> None:
    streaming = under_roof(bound=bound(1.0, 8.0, unfused_ms=12.0), gflops=50.0, p50_ms=4.0)
    other = under_roof(bound=bound(20.0, 2.0, unfused_ms=40.0))
    first, second = raised_roofs([streaming, other])
    assert first.bound is not None
    assert first.bound.latency_ms == pytest.approx(4.0)
    assert first.bound.unfused_ms == pytest.approx(6.0)
    # 2e9 FLOP in 4 ms are 500 GFLOP/s: five times the peak.
    assert second.peak_gflops == pytest.approx(500)
    assert second.bound == bound(4.0, 1.0, unfused_ms=20.0)


def test_time_unfused_that_arithmetic_limits_falls_with_the_bound() -> None:
    reached = under_roof(bound=bound(20.0, 1.0, unfused_ms=20.0), gflops=400.0, p50_ms=5.0)
    (roof,) = raised_roofs([reached])
    assert roof.bound == bound(5.0, 1.0, unfused_ms=5.0)


def test_cell_without_peak_or_bound_has_none_afterwards() -> None:
    bare = under_roof(peak_gflops=None, bound=None)
    reaching = under_roof(gflops=400.0, p50_ms=5.0)
    first, second = raised_roofs([bare, reaching])
    assert (first.peak_gflops, first.bound, first.raised) == (None, None, False)
    assert second.raised
