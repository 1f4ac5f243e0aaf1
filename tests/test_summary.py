"""The summary is what its definitions say, on samples whose answer is known."""

from __future__ import annotations

import pytest

from deploybench.summary import paired_ratios, speedup, summarise
from tests.records import MS, launch, record


def test_summary_takes_the_median_of_launch_medians_when_one_launch_was_disturbed() -> None:
    found = summarise([launch([10, 10, 10]), launch([11, 11, 11]), launch([50, 50, 50])], batch=1)
    assert found is not None
    assert found.p50_ms == 11
    assert (found.p50_low_ms, found.p50_high_ms, found.p50_coverage) == (10, 50, 0.75)


def test_throughput_is_images_over_wall_time_of_the_window_not_one_over_latency() -> None:
    slow_between_calls = launch([10, 10], window_ns=40 * MS)
    found = summarise([slow_between_calls], batch=8)
    assert found is not None
    assert found.throughput_per_s == pytest.approx(2 * 8 / 0.040)


def test_peak_memory_has_the_baseline_taken_off() -> None:
    found = summarise([launch([10, 10])], batch=1)
    assert found is not None
    assert found.peak_bytes == 100 << 20
    assert found.baseline_bytes == 50 << 20


def test_tail_percentiles_are_absent_until_all_launches_together_have_enough_samples() -> None:
    few, many = summarise([launch([1.0] * 100)] * 2, 1), summarise([launch([1.0] * 100)] * 3, 1)
    assert few is not None
    assert few.p99_ms is None
    assert many is not None
    assert many.p99_ms == 1.0


def test_summary_is_absent_when_nothing_was_measured() -> None:
    assert summarise([], 1) is None


def test_speedup_is_paired_by_round_when_the_machine_slows_down_in_one_round() -> None:
    eager = record([launch([20], number=0), launch([40], number=1), launch([20], number=2)])
    other = record([launch([10], number=0), launch([20], number=1), launch([10], number=2)], runner="onnxruntime")
    assert speedup(eager, other) == pytest.approx(2)
    assert paired_ratios(eager.launches, other.launches) == [2, 2, 2]


def test_speedup_is_absent_when_no_round_has_both() -> None:
    assert speedup(record([launch([20], number=0)]), record([launch([10], number=1)])) is None
