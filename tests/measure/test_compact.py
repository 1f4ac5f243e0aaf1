"""Very many samples: a small record, the same answers, and memory without the harness's own."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploybench.analysis.summary import summarise
from deploybench.measure import compact
from deploybench.measure.compact import KEPT_RAW, MOST_RAW, keep
from deploybench.measure.concurrent import run_streams
from deploybench.measure.loop import Window, run_window
from deploybench.measure.recorder import ROWS, Recorder
from deploybench.measure.stopping import WindowRule
from deploybench.report.run_notes import notes_of
from deploybench.results.launch import Launch
from deploybench.results.store import write_record
from deploybench.rows.rows import rows_of
from deploybench.statistics.counted import BIN_WIDTH, binned, counted, of_bins, pooled
from deploybench.statistics.samples import median, nearest_rank, quantile
from deploybench.telemetry.memory import WindowMemory
from tests.apart import run_apart
from tests.records import launch, record

WITHIN = BIN_WIDTH + 1e-9
SAMPLES = st.lists(st.integers(1, 10**11), min_size=1, max_size=300)


def window(samples: tuple[int, ...]) -> Window:
    ends = tuple(int(end) for end in np.cumsum(samples))
    switches = tuple(number % 2 for number in range(len(samples)))
    return Window(samples, ends, sum(samples), samples, switches, samples)


def close(found: float, expected: float) -> bool:
    return abs(found - expected) <= WITHIN * expected


@given(SAMPLES, st.floats(0, 0.9999))
def test_percentiles_of_bins_are_those_of_the_samples_within_a_bin(
    samples: list[int], fraction: float
) -> None:
    bins = of_bins(binned(samples))
    assert len(bins) == len(samples)
    assert close(bins.nearest_rank(fraction), nearest_rank(samples, fraction))
    assert close(bins.median(), median(samples))
    assert close(bins.at(0), min(samples))
    assert close(bins.at(len(samples) - 1), max(samples))


@given(SAMPLES, st.floats(0, 0.9999))
def test_counted_raw_samples_are_exactly_the_samples(samples: list[int], fraction: float) -> None:
    raw = counted(samples)
    assert raw.median() == median(samples)
    assert raw.nearest_rank(fraction) == nearest_rank(samples, fraction)
    for value in samples:
        assert raw.at_most(value) == sum(sample <= value for sample in samples)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(10**6, 2 * 10**6), min_size=8), min_size=2, max_size=5))
def test_intervals_over_launches_agree_whether_some_are_binned_or_not(
    groups: list[list[int]],
) -> None:
    raw = quantile(groups, 0.5)
    mixed = [of_bins(binned(groups[0])), *groups[1:]]
    found = quantile(mixed, 0.5)
    assert found.samples == raw.samples
    assert len(pooled([counted(group) for group in mixed])) == sum(map(len, groups))
    # Samples that a bin makes equal tell otherwise how they depend on each other: at the edge of
    # enough independent ones the one has a value and the other none.
    if raw.value is not None and found.value is not None:
        assert close(found.value, raw.value)


@pytest.mark.trust(
    item=18,
    case="a model of 6 µs, sampled for 3 s",
    before="18 MB for two launches (477,000 and 186,000 samples), and more with every launch",
    now="counted in bins 0.1 % wide, said on the row: under 1 MB; --raw keeps every sample",
)
def test_launch_of_very_many_samples_makes_a_small_record_with_the_same_answers(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    samples = tuple(int(ns) for ns in draw.lognormal(np.log(6000), 0.05, MOST_RAW + 20_000))
    cut = 5_000
    common: dict[str, object] = {"warm_up": cut, "window_ns": sum(samples[cut:])}
    small = launch([], **vars(keep(window(samples), cut, raw=False)), **common)
    whole = launch([], **vars(keep(window(samples), cut, raw=True)), **common)
    assert (len(small.samples_ns), small.count) == (2 * KEPT_RAW, len(samples))
    assert whole.samples_ns == samples
    assert whole.steady_histogram is None
    assert Launch.model_validate_json(small.model_dump_json()) == small
    by_bins, by_all = summarise([small] * 2, 1), summarise([whole] * 2, 1)
    assert by_bins is not None
    assert by_all is not None
    (ours,), (theirs,) = by_bins.states, by_all.states
    assert ours.samples == theirs.samples == 2 * (len(samples) - cut)
    assert ours.throughput_per_s == theirs.throughput_per_s
    assert close(ours.p50_ms, theirs.p50_ms)
    for percentile, other in zip(ours.percentiles, theirs.percentiles, strict=True):
        assert percentile.needed == pytest.approx(other.needed, rel=0.05)
        assert other.ms is not None
        assert percentile.ms is not None
        assert close(percentile.ms, other.ms)
    assert small.switches_per_call == whole.switches_per_call == 0.5
    device, all_of_device = small.steady_device_ns, whole.steady_device_ns
    assert device is not None
    assert all_of_device is not None
    assert close(device.median(), all_of_device.median())

    kept = record([small])
    assert write_record(kept, tmp_path).stat().st_size < 10**6
    (row,) = rows_of([kept])
    assert "--raw keeps every sample" in " ".join(note.full for note in notes_of(row))


def test_launch_of_fewer_samples_keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compact, "MOST_RAW", 10)
    assert keep(window((5,) * 10), 0, raw=False).sample_count is None
    assert keep(window((5,) * 11), 0, raw=False).sample_count == 11


def test_window_of_several_pieces_loses_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("loop", "concurrent", "recorder"):
        monkeypatch.setattr(f"deploybench.measure.{module}.ROWS", 8)
    calls = [0, 0]

    def call(number: int) -> None:
        calls[number] += 1

    memory = WindowMemory()
    found = run_window(lambda: call(0), WindowRule(21, 0, 10**12), lambda: 2.0, memory)
    assert len(found.samples_ns) == len(found.ends_ns) == len(found.sample_cpu_ns) == 21
    assert calls[0] == 21
    assert list(found.ends_ns) == sorted(found.ends_ns)
    assert found.device_ns == (2_000_000,) * 21
    assert memory.harness_bytes >= 3 * 5 * 8 * 8
    calls[0] = 0
    both = run_streams(
        [lambda: call(0), lambda: call(1)], [lambda: None] * 2, WindowRule(20, 0, 10**12), memory
    )
    assert len(both.samples_ns) == sum(calls)
    assert list(both.ends_ns) == sorted(both.ends_ns)


def test_recorder_tells_what_it_holds_to_the_byte() -> None:
    recorder = Recorder(3)
    recorder.grow()[1][5] = -(2**62)
    recorder.grow()
    assert recorder.held_bytes == 2 * 3 * 8 * ROWS
    assert recorder.column(1, ROWS + 1)[5] == -(2**62)
    assert len(recorder.column(1, ROWS + 1)) == ROWS + 1


@pytest.mark.trust(
    item=18,
    case="peak memory and PSS of a launch with 200,000 samples",
    before="53 MiB above what the model takes at the peak, 75 MiB in the PSS after the window",
    now="what the model takes, within 4 MiB; the harness's share is in the record",
)
def test_peak_of_a_window_is_that_of_the_calls_and_not_of_the_samples() -> None:
    """In a process of its own: one that has run other tests has memory to spare, and grows less."""
    run_apart(look_at_two_windows)


def look_at_two_windows() -> None:
    """The call holds 16 MiB for a moment; two windows, the second beside the first one's tuples."""
    mib = 1 << 20

    def call() -> None:
        if next(turns) % 50_000 == 0:
            np.frombuffer(mmap.mmap(-1, 16 * mib), dtype=np.uint8).fill(1)

    turns = iter(range(10**6))
    call()  # what numpy sets up is not the window's
    memory = WindowMemory()
    memory.begins()
    memory.ends(0)
    assert memory.peak_bytes is not None
    before = memory.peak_bytes
    memory = WindowMemory()
    rule = WindowRule(100_000, 0, 10**12)
    found = run_window(call, rule, None, memory)
    found = found.followed_by(run_window(call, rule, None, memory))
    assert len(found.samples_ns) == 200_000
    assert memory.peak_bytes is not None
    assert abs(memory.peak_bytes - before - 16 * mib) < 4 * mib
    assert memory.harness_bytes > 4 * mib
    now = 500 * mib
    grown = now - (memory.without_harness(now) or 0)
    assert grown > 8 * mib, "the samples are there now, and taken off"
