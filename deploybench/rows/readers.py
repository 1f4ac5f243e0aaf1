"""What a row shows of each part of a finding: all figures of a part are None where it is missing.

A cell that failed has no summary, a state of the machine without an estimate no percentiles, a cell
on a CPU no GPU. Each reader here takes such a part or None, and always gives an object to read
from, so that whoever fills a row need not ask at every field whether the part is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from deploybench.analysis.against import AgainstBaseline
from deploybench.analysis.crossover import Point
from deploybench.analysis.typical import TypicalGpu
from deploybench.analysis.visit_verdicts import too_far
from deploybench.results.launch import Facts
from deploybench.results.record import Bound, Percentile, StateSummary, Summary
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Answer, Ratio

BYTES_PER_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class SummaryFigures:
    """What does not depend on the state of the machine."""

    states_seen: int = 0
    launches_flipped: int = 0
    load_s: float | None = None
    compile_s: float | None = None
    first_inference_ms: float | None = None
    cold_start_s: float | None = None
    cached_start_s: float | None = None
    peak_memory_mib: float | None = None
    baseline_memory_mib: float | None = None
    device_memory_mib: float | None = None
    energy_source: str | None = None


@dataclass(frozen=True, kw_only=True)
class StateFigures:
    """The estimate in one state of the machine."""

    hop_ns: float | None = None
    p50_ms: float | None = None
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p50_coverage: float | None = None
    device_p50_ms: float | None = None
    throughput_per_s: float | None = None
    cores_used: float | None = None
    energy_j: float | None = None
    left_out: int = 0
    samples: int = 0


@dataclass(frozen=True, kw_only=True)
class VisitFigures:
    """What the visits of a cell showed; None of a cell whose processes were launched afresh."""

    basis: str | None = None
    known: bool | None = None
    calm_visits: int | None = None
    calm_share: float | None = None
    halves_agree: bool | None = None
    all_visits_ms: float | None = None
    all_visits_low_ms: float | None = None
    all_visits_high_ms: float | None = None
    estimates_agree: bool | None = None
    experienced_p50_ms: float | None = None
    experienced_low_ms: float | None = None
    experienced_high_ms: float | None = None
    delivered_p10: float | None = None
    delivered_p50: float | None = None
    delivered_p90: float | None = None
    slope: float | None = None
    processes: int | None = None
    process_shift: float | None = None
    visits: int | None = None
    independent: float | None = None


@dataclass(frozen=True, kw_only=True)
class PercentileFigures:
    """A percentile with its interval, and how many samples it needs."""

    ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None
    needed: int | None = None


@dataclass(frozen=True, kw_only=True)
class FactFigures:
    """What the session said of itself once it was loaded."""

    threads: int | None = None
    provider: str | None = None
    device_allocated_mib: float | None = None


@dataclass(frozen=True, kw_only=True)
class BoundFigures:
    """The least time of one call."""

    latency_ms: float | None = None
    limited_by: str | None = None
    unfused_ms: float | None = None
    moved_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class SpeedupFigures:
    """The speed-up over the baseline, and how far it can be trusted."""

    baseline: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    answer: Answer | None = None
    verdict: Verdict | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RatioFigures:
    """One of the two speed-ups of cells that were visited: as met, or of the undisturbed times."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    coverage: float | None = None
    answer: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class SoftmaxFigures:
    """The speed-up of another attention over softmax."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    answer: Answer | None = None


@dataclass(frozen=True, kw_only=True)
class GpuFigures:
    """The GPU right after the calls; texts for what is a list or a mapping in the records."""

    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    throttle_reasons: str | None = None
    other_processes: int | None = None
    graphics_processes: int | None = None
    used_mib: float | None = None
    pcie: str | None = None
    ecc: bool | None = None
    missing: str = ""


def mib(amount_bytes: float | None) -> float | None:
    """Bytes in MiB."""
    if amount_bytes is None:
        return None
    return amount_bytes / BYTES_PER_MIB


def summary_figures(summary: Summary | None) -> SummaryFigures:
    if summary is None:
        return SummaryFigures()
    figures = SummaryFigures(
        states_seen=len(summary.states),
        launches_flipped=summary.flipped,
        load_s=summary.load_s,
        compile_s=summary.compile_s,
        first_inference_ms=summary.first_inference_ms,
        cold_start_s=summary.cold_start_s,
        cached_start_s=summary.cached_start_s,
        peak_memory_mib=mib(summary.peak_bytes),
        baseline_memory_mib=mib(summary.baseline_bytes),
        device_memory_mib=mib(summary.device_bytes),
        energy_source=summary.energy_source,
    )
    if summary.compiled_afresh == 0:
        # What was found compiled says nothing of the first start on a machine.
        return replace(
            figures, load_s=None, compile_s=None, first_inference_ms=None, cold_start_s=None
        )
    return figures


def state_figures(state: StateSummary | None) -> StateFigures:
    if state is None:
        return StateFigures()
    if state.visited is not None and too_far(state.visited):
        return StateFigures(hop_ns=state.hop_ns, left_out=state.left_out, samples=state.samples)
    coverage = state.p50_coverage
    if state.visited is not None and not state.visited.known:
        # Its interval is at least so wide: what it covers nobody knows.
        coverage = 0.0
    return StateFigures(
        hop_ns=state.hop_ns,
        p50_ms=state.p50_ms,
        p50_low_ms=state.p50_low_ms,
        p50_high_ms=state.p50_high_ms,
        p50_coverage=coverage,
        device_p50_ms=state.device_p50_ms,
        throughput_per_s=state.throughput_per_s,
        cores_used=state.cores_used,
        energy_j=state.energy_j,
        left_out=state.left_out,
        samples=state.samples,
    )


def visit_figures(state: StateSummary | None) -> VisitFigures:
    if state is None or state.visited is None:
        return VisitFigures()
    visited = state.visited
    whole_ms, whole_low_ms, whole_high_ms = None, None, None
    if not too_far(visited):
        whole_ms, whole_low_ms, whole_high_ms = (
            visited.whole_ms,
            visited.whole_low_ms,
            visited.whole_high_ms,
        )
    return VisitFigures(
        basis=visited.basis,
        known=visited.known,
        calm_visits=visited.calm_visits,
        calm_share=visited.calm_share,
        halves_agree=visited.halves_agree,
        all_visits_ms=whole_ms,
        all_visits_low_ms=whole_low_ms,
        all_visits_high_ms=whole_high_ms,
        estimates_agree=visited.agree,
        experienced_p50_ms=visited.experienced_p50_ms,
        experienced_low_ms=visited.experienced_low_ms,
        experienced_high_ms=visited.experienced_high_ms,
        delivered_p10=visited.delivered_p10,
        delivered_p50=visited.delivered_p50,
        delivered_p90=visited.delivered_p90,
        slope=visited.slope,
        processes=visited.processes,
        process_shift=visited.process_shift,
        visits=visited.visits,
        independent=visited.independent,
    )


def percentile_figures(state: StateSummary | None, fraction: float) -> PercentileFigures:
    """The percentile of the state's samples at that fraction: 0.99 is p99."""
    percentile = _percentile(state, fraction)
    if percentile is None:
        return PercentileFigures()
    return PercentileFigures(
        ms=percentile.ms,
        low_ms=percentile.low_ms,
        high_ms=percentile.high_ms,
        needed=percentile.needed,
    )


def fact_figures(facts: Facts | None) -> FactFigures:
    if facts is None:
        return FactFigures()
    return FactFigures(
        threads=facts.threads,
        provider=facts.provider,
        device_allocated_mib=mib(facts.device_bytes),
    )


def bound_figures(bound: Bound | None) -> BoundFigures:
    if bound is None:
        return BoundFigures()
    return BoundFigures(
        latency_ms=bound.latency_ms,
        limited_by=bound.limited_by,
        unfused_ms=bound.unfused_ms,
        moved_bytes=bound.moved_bytes,
    )


def speedup_figures(against: AgainstBaseline | None) -> SpeedupFigures:
    if against is None:
        return SpeedupFigures()
    ratio = against.speedup.ratio
    return SpeedupFigures(
        baseline=against.runner,
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        coverage=ratio.coverage,
        answer=against.answer,
        verdict=against.judgement.verdict,
        reason=against.reason,
    )


def experienced_figures(against: AgainstBaseline | None) -> RatioFigures:
    if against is None:
        return RatioFigures()
    return _ratio_figures(against.speedup.experienced, against.experienced_answer)


def undisturbed_figures(against: AgainstBaseline | None) -> RatioFigures:
    if against is None:
        return RatioFigures()
    return _ratio_figures(against.speedup.undisturbed, against.undisturbed_answer)


def _ratio_figures(ratio: Ratio | None, answer: Answer | None) -> RatioFigures:
    if ratio is None:
        return RatioFigures()
    return RatioFigures(
        value=ratio.value,
        low=ratio.low,
        high=ratio.high,
        coverage=ratio.coverage,
        answer=answer,
    )


def softmax_figures(point: Point | None) -> SoftmaxFigures:
    if point is None:
        return SoftmaxFigures()
    return SoftmaxFigures(
        value=point.ratio.value,
        low=point.ratio.low,
        high=point.ratio.high,
        answer=point.answer,
    )


def gpu_figures(gpu: TypicalGpu | None) -> GpuFigures:
    if gpu is None:
        return GpuFigures()
    throttle_reasons = None
    if gpu.throttle_reasons is not None:
        throttle_reasons = ", ".join(gpu.throttle_reasons)
    return GpuFigures(
        sm_clock_mhz=gpu.sm_clock_mhz,
        memory_clock_mhz=gpu.memory_clock_mhz,
        temperature_c=gpu.temperature_c,
        power_w=gpu.power_w,
        throttle_reasons=throttle_reasons,
        other_processes=gpu.other_processes,
        graphics_processes=gpu.graphics_processes,
        used_mib=mib(gpu.used_bytes),
        pcie=gpu.pcie,
        ecc=gpu.ecc,
        missing=_in_words(gpu.missing),
    )


def _percentile(state: StateSummary | None, fraction: float) -> Percentile | None:
    if state is None:
        return None
    for percentile in state.percentiles:
        if percentile.fraction == fraction:
            return percentile
    return None


def _in_words(missing: Mapping[str, str]) -> str:
    """Which figure the driver did not tell, and why."""
    reasons = [f"{figure}: {reason}" for figure, reason in missing.items()]
    return "; ".join(reasons)
