"""From the launches of a cell to its summary: an estimate for each state of the machine, never one
over all.

The estimate is the median of the launches' medians, with an interval from the launches: samples
inside one launch are not independent of each other. Percentiles are over all steady samples of the
launches that count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from deploybench.analysis.states import State, states_of
from deploybench.analysis.verdicts import judge_estimate
from deploybench.results.launch import Launch
from deploybench.results.record import Percentile, StateSummary, Summary
from deploybench.statistics.samples import median, median_interval, quantile

FRACTIONS = (0.5, 0.9, 0.95, 0.99, 0.999)
NS_PER_MS = 1e6
NS_PER_S = 1e9


def summarise(launches: Sequence[Launch], batch: int) -> Summary | None:
    """The summary of the launches that were measured, or None when there are none."""
    measured = [launch for launch in launches if launch.measured]
    if not measured:
        return None
    states = states_of(measured)
    memories = [launch.memory for launch in measured if launch.memory is not None]
    colds = [launch.cold_start_s for launch in measured if launch.cold_start_s is not None]
    gpus = [
        launch.surroundings.gpu
        for launch in measured
        if launch.surroundings and launch.surroundings.gpu
    ]
    devices = [gpu.own_bytes for gpu in gpus if gpu.own_bytes is not None]
    peaks = [
        max(memory.setup_peak_bytes, memory.peak_bytes) - memory.baseline_bytes
        for memory in memories
    ]
    energy = next((launch.energy for launch in measured if launch.energy is not None), None)
    return Summary(
        states=tuple(_summarise_state(state, batch) for state in states),
        launches=len(measured),
        flipped=len(measured) - sum(len(state.launches) for state in states),
        load_s=median([launch.load_s or 0.0 for launch in measured]),
        compile_s=median([launch.compile_s or 0.0 for launch in measured]),
        first_inference_ms=median([launch.first_inference_ms or 0.0 for launch in measured]),
        cold_start_s=median(colds) if colds else None,
        peak_bytes=int(median(peaks)),
        baseline_bytes=int(median([memory.baseline_bytes for memory in memories])),
        device_bytes=int(median(devices)) if devices else None,
        energy_source=energy.source if energy else "not read",
    )


def _summarise_state(state: State, batch: int) -> StateSummary:
    counted = state.counted
    medians_ms = [launch.median_ms for launch in counted]
    interval = median_interval(medians_ms)
    joules = [
        launch.energy.joules / (len(launch.samples_ns) * batch)
        for launch in counted
        if launch.energy is not None and launch.energy.joules is not None
    ]
    device_ns = [
        median(launch.device_ns[launch.warm_up :]) for launch in counted if launch.device_ns
    ]
    return StateSummary(
        hop_ns=state.hop_ns,
        launches=len(state.launches),
        left_out=len(state.launches) - len(counted),
        p50_ms=median(medians_ms),
        p50_low_ms=interval.low if interval else None,
        p50_high_ms=interval.high if interval else None,
        p50_coverage=interval.coverage if interval else None,
        percentiles=tuple(_percentile(counted, fraction) for fraction in FRACTIONS),
        samples=sum(len(launch.steady_ns) for launch in counted),
        throughput_per_s=median(
            [len(item.steady_ns) * batch * NS_PER_S / item.window_ns for item in counted]
        ),
        cores_used=median([item.window_cpu_ns / item.window_ns for item in counted]),
        energy_j=median(joules) if joules else None,
        device_p50_ms=median(device_ns) / NS_PER_MS if device_ns else None,
        judgement=judge_estimate(state),
    )


def _percentile(launches: Sequence[Launch], fraction: float) -> Percentile:
    found = asdict(quantile([launch.steady_ns for launch in launches], fraction))
    milliseconds = {
        name: None if value is None else value / NS_PER_MS
        for name, value in (
            ("ms", found["value"]),
            ("low_ms", found["low"]),
            ("high_ms", found["high"]),
        )
    }
    return Percentile(
        fraction=fraction, samples=found["samples"], needed=found["needed"], **milliseconds
    )
