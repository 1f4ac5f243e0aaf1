"""From the launches of a cell to its summary.

The estimate of a cell is the median of its launches' medians, with an interval from the launches:
samples inside one launch are not independent of each other. Tail percentiles pool all launches.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.results import Launch, Record, Summary
from deploybench.stats import median, median_interval, percentile

NS_PER_MS = 1e6
NS_PER_S = 1e9


def summarise(launches: Sequence[Launch], batch: int) -> Summary | None:
    """The summary of the launches that were measured, or None when there are none."""
    measured = [launch for launch in launches if launch.measured]
    if not measured:
        return None
    medians_ms = [median(launch.samples_ns) / NS_PER_MS for launch in measured]
    interval = median_interval(medians_ms)
    pooled = [sample / NS_PER_MS for launch in measured for sample in launch.samples_ns]
    memories = [launch.memory for launch in measured if launch.memory is not None]
    return Summary(
        p50_ms=median(medians_ms),
        p50_low_ms=interval.low if interval else None,
        p50_high_ms=interval.high if interval else None,
        p50_coverage=interval.coverage if interval else None,
        p90_ms=percentile(pooled, 0.90),
        p99_ms=percentile(pooled, 0.99),
        samples=len(pooled),
        launches=len(measured),
        throughput_per_s=median([len(item.samples_ns) * batch * NS_PER_S / item.window_ns for item in measured]),
        load_s=median([item.load_s for item in measured if item.load_s is not None]),
        first_inference_ms=median([i.first_inference_ms for i in measured if i.first_inference_ms is not None]),
        peak_bytes=int(median([memory.peak_bytes - memory.baseline_bytes for memory in memories])),
        baseline_bytes=int(median([memory.baseline_bytes for memory in memories])),
        cores_used=median([item.window_cpu_ns / item.window_ns for item in measured]),
    )


def speedup(baseline: Record, candidate: Record) -> float | None:
    """How many times faster ``candidate`` is than ``baseline``: the median of the ratios paired by round."""
    ratios = paired_ratios(baseline.launches, candidate.launches)
    return median(ratios) if ratios else None


def paired_ratios(baseline: Sequence[Launch], candidate: Sequence[Launch]) -> list[float]:
    """baseline / candidate of the launch medians, for each round in which both were measured."""
    slow = {launch.round: median(launch.samples_ns) for launch in baseline if launch.measured}
    fast = {launch.round: median(launch.samples_ns) for launch in candidate if launch.measured}
    return [slow[index] / fast[index] for index in sorted(slow.keys() & fast.keys())]
