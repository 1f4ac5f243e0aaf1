"""From the launches of a cell, and the visits of their processes, to its summary.

Of fresh launches there is an estimate for each state of the machine, never one over all. The
estimate is the median of the launches' medians, with an interval from the launches: samples inside
one launch are not independent of each other. Percentiles are over all steady samples of the
launches that count.

Where processes were visited the estimates are of the visits (``visited.py``). Loading,
memory and the first call are always those of the launches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deploybench.analysis.percentiles import in_ms, percentiles_of
from deploybench.analysis.states import State, states_of
from deploybench.analysis.verdicts import judge_estimate
from deploybench.analysis.visit_estimates import usable
from deploybench.analysis.visited import states_of_visits
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.results.record import StateSummary, Summary
from deploybench.results.visit import CanaryBest, Visit
from deploybench.statistics.samples import median, median_interval

NS_PER_S = 1e9


def summarise(
    launches: Sequence[Launch],
    batch: int,
    visits: Sequence[Visit] = (),
    canary: CanaryBest | None = None,
) -> Summary | None:
    """The summary of the launches that were measured, or None when there are none.

    ``visits`` are of the processes that the launches started; ``canary`` the machine's own speed.
    """
    measured = [launch for launch in launches if launch.measured]
    if not measured:
        return None
    states: tuple[StateSummary, ...]
    flipped = 0
    if usable(visits, canary):
        states = tuple(states_of_visits(measured, visits, canary, batch))
    else:
        seen = states_of(measured)
        flipped = len(measured) - sum(len(state.launches) for state in seen)
        states = tuple(_summarise_state(state, batch) for state in seen)
    memories = [launch.memory for launch in measured if launch.memory is not None]
    starts = _starts_of(measured)
    return Summary(
        states=states,
        launches=len(measured),
        flipped=flipped,
        load_s=median([launch.load_s or 0.0 for launch in starts.told]),
        compile_s=median([launch.compile_s or 0.0 for launch in starts.told]),
        first_inference_ms=median([launch.first_inference_ms or 0.0 for launch in starts.told]),
        cold_start_s=_median_of_known(launch.cold_start_s for launch in starts.told),
        cached_start_s=_median_of_known(launch.cold_start_s for launch in starts.cached),
        compiled_afresh=starts.afresh,
        peak_bytes=int(median([_peak_bytes(memory) for memory in memories])),
        baseline_bytes=int(median([memory.baseline_bytes for memory in memories])),
        device_bytes=_device_bytes(measured),
        energy_source=_energy_source(measured),
    )


@dataclass(frozen=True)
class _Starts:
    """The launches by how they started: ``told`` are those whose start is the cell's.

    A runtime that keeps on disk what it compiles does so in the first launch on a machine alone:
    the median of such a start and of those that find it there would be the time of neither.
    """

    told: Sequence[Launch]
    cached: Sequence[Launch]
    afresh: int | None


def _starts_of(launches: Sequence[Launch]) -> _Starts:
    cached: list[Launch] = []
    others: list[Launch] = []
    for launch in launches:
        found = launch.facts is not None and launch.facts.from_cache
        (cached if found else others).append(launch)
    tells = any(
        launch.facts is not None and launch.facts.from_cache is not None for launch in launches
    )
    return _Starts(others or cached, cached, len(others) if tells else None)


def _summarise_state(state: State, batch: int) -> StateSummary:
    counted = state.counted
    medians_ms = [launch.median_ms for launch in counted]
    low_ms, high_ms, coverage = None, None, None
    interval = median_interval(medians_ms)
    if interval is not None:
        low_ms, high_ms, coverage = interval.low, interval.high, interval.coverage
    return StateSummary(
        hop_ns=state.hop_ns,
        launches=len(state.launches),
        left_out=len(state.launches) - len(counted),
        p50_ms=median(medians_ms),
        p50_low_ms=low_ms,
        p50_high_ms=high_ms,
        p50_coverage=coverage,
        percentiles=percentiles_of([launch.steady_ns for launch in counted]),
        samples=sum(launch.steady_count for launch in counted),
        throughput_per_s=median([_throughput_per_s(launch, batch) for launch in counted]),
        cores_used=median([launch.window_cpu_ns / launch.window_ns for launch in counted]),
        energy_j=_median_of_known(_joules_per_image(launch, batch) for launch in counted),
        device_p50_ms=in_ms(_median_of_known(_device_median_ns(launch) for launch in counted)),
        judgement=judge_estimate(state),
    )


def _median_of_known(values: Iterable[float | None]) -> float | None:
    """The median of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return median(known)


def _throughput_per_s(launch: Launch, batch: int) -> float:
    """Images a second of wall time, over the steady part of the window."""
    return launch.steady_count * batch * NS_PER_S / launch.window_ns


def _joules_per_image(launch: Launch, batch: int) -> float | None:
    """Over all samples, the warm-up's too: the meter ran while they were taken."""
    if launch.energy is None or launch.energy.joules is None:
        return None
    return launch.energy.joules / (launch.count * batch)


def _device_median_ns(launch: Launch) -> float | None:
    """The steady calls' median by the device's own clock; None where the runner does not tell."""
    device_ns = launch.steady_device_ns
    if device_ns is None:
        return None
    return device_ns.median()


def _peak_bytes(memory: MemoryPhases) -> int:
    """The largest resident size of the launch, above what the worker took before the runtime."""
    return max(memory.setup_peak_bytes, memory.peak_bytes) - memory.baseline_bytes


def _device_bytes(launches: Sequence[Launch]) -> int | None:
    """What the process held on the GPU, median of the launches that were told it."""
    held = _median_of_known(_own_gpu_bytes(launch) for launch in launches)
    return None if held is None else int(held)


def _own_gpu_bytes(launch: Launch) -> int | None:
    if launch.surroundings is None or launch.surroundings.gpu is None:
        return None
    return launch.surroundings.gpu.own_bytes


def _energy_source(launches: Sequence[Launch]) -> str:
    """What told the energy, or why nothing did, in words: every launch of a cell has the same."""
    for launch in launches:
        if launch.energy is not None:
            return launch.energy.source
    return "not read"
