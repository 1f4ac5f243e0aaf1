"""From the visits of a cell to its estimate: the undisturbed time, and what was experienced."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deploybench.analysis.percentiles import in_ms, percentiles_of
from deploybench.analysis.visit_estimates import (
    Estimate,
    Series,
    estimate_of,
    series_of,
    share_delivered,
    usable,
)
from deploybench.analysis.visit_states import VisitState, visit_states, visits_in
from deploybench.analysis.visit_verdicts import judge_visits
from deploybench.results.launch import Launch
from deploybench.results.record import StateSummary, Visited
from deploybench.results.verdict import Verdict
from deploybench.results.visit import CanaryBest, Visit
from deploybench.statistics.counted import Counted, pooled
from deploybench.statistics.dependence import FEWEST_VALUES, Centre, centre_of, inefficiency_of
from deploybench.statistics.samples import CONFIDENCE, median

Floats = npt.NDArray[np.float64]
NS_PER_MS = 1e6
NS_PER_S = 1e9


def states_of_visits(
    launches: Sequence[Launch], visits: Sequence[Visit], canary: CanaryBest | None, batch: int
) -> list[StateSummary]:
    """The estimates of a cell whose processes (``launches``) were visited, one for each state of
    the machine.

    The first one stands for the cell: the one with the shortest hop, which is the machine at its
    best, of those whose time is known, else of all. What was experienced is of all visits, whatever
    the machine did. Needs a visit with samples.
    """
    states = []
    for state in visit_states(usable(visits, canary)):
        states.append(_state_of(state, launches, visits, canary, batch))
    return sorted(states, key=_rank)


def _rank(state: StateSummary) -> tuple[bool, float]:
    return state.judgement.verdict is not Verdict.VALID, state.hop_ns or 0.0


def _state_of(
    state: VisitState,
    launches: Sequence[Launch],
    visits: Sequence[Visit],
    canary: CanaryBest | None,
    batch: int,
) -> StateSummary:
    sampled = [visit for visit in visits if visit.count]
    beside_canary = state.visits
    if canary is not None:
        canary = canary.in_state(state.hop_ns)
    series = series_of(beside_canary, canary)
    estimate = estimate_of(series)
    experienced = centre_of(np.array([visit.median_ns / NS_PER_MS for visit in sampled]))
    in_state = visits_in(sampled, state.hop_ns)
    visited = visited_of(len(in_state), series, estimate, experienced)
    faults = _faults_a_call(sampled)
    if faults:
        visited = visited.replaced(faults_least=min(faults), faults_most=max(faults))
    counted = _counted(beside_canary, canary, estimate)
    low_ms, high_ms = _interval(estimate.centre)
    coverage = None
    if low_ms is not None and high_ms is not None:
        coverage = CONFIDENCE
    return StateSummary(
        hop_ns=state.hop_ns,
        launches=len({visit.process for visit in beside_canary}),
        left_out=0,
        p50_ms=math.exp(estimate.centre.value),
        p50_low_ms=low_ms,
        p50_high_ms=high_ms,
        p50_coverage=coverage,
        percentiles=percentiles_of(_blocks(sampled)),
        samples=sum(visit.count for visit in sampled),
        throughput_per_s=_throughput_per_s(series, beside_canary, batch),
        cores_used=median([visit.cpu_ns / visit.window_ns for visit in counted]),
        energy_j=_energy_j(counted, launches, batch),
        device_p50_ms=in_ms(_median_of_known([visit.device_ns for visit in counted])),
        visited=visited,
        judgement=judge_visits(visited, estimate.centre, launches, canary),
    )


def visited_of(count: int, series: Series, estimate: Estimate, experienced: Centre) -> Visited:
    """The document; ``experienced`` is in ms."""
    whole_ms, whole_low_ms, whole_high_ms = None, None, None
    if estimate.whole is not None:
        whole_ms = math.exp(estimate.whole.value)
        whole_low_ms, whole_high_ms = _interval(estimate.whole)
    p10, p50, p90 = _delivered(series)
    shift = estimate.process_shift
    return Visited(
        visits=count,
        processes=estimate.processes,
        basis=estimate.basis,
        calm_visits=estimate.calm_visits,
        calm_share=estimate.calm_share,
        known=estimate.known,
        halves_agree=estimate.centre.halves_agree,
        independent=estimate.centre.independent,
        delivered_p10=p10,
        delivered_p50=p50,
        delivered_p90=p90,
        slope=estimate.slope.value,
        whole_ms=whole_ms,
        whole_low_ms=whole_low_ms,
        whole_high_ms=whole_high_ms,
        agree=estimate.agree,
        experienced_p50_ms=experienced.value,
        experienced_low_ms=_finite(experienced.low),
        experienced_high_ms=_finite(experienced.high),
        process_shift=None if shift is None else math.expm1(shift),
        process_error=math.expm1(estimate.process_error),
        drift=math.expm1(estimate.drift),
    )


def _interval(centre: Centre) -> tuple[float | None, float | None]:
    """Both ends of a logarithm's interval; None for one that has none."""
    if not math.isfinite(centre.low) or not math.isfinite(centre.high):
        return None, None
    return math.exp(centre.low), math.exp(centre.high)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _delivered(series: Series) -> tuple[float | None, float | None, float | None]:
    """The shares of the machine's speed that were delivered beside the visits: p10, p50, p90."""
    if series.speeds is None:
        return None, None, None
    p10, p50, p90 = np.exp(np.quantile(series.speeds, (0.1, 0.5, 0.9))).tolist()
    return p10, p50, p90


def _counted(
    visits: Sequence[Visit], canary: CanaryBest | None, estimate: Estimate
) -> Sequence[Visit]:
    """The visits whose figures are undisturbed: the calm ones, where the time rests on them."""
    if estimate.basis != "calm visits" or canary is None:
        return visits
    calm = []
    for visit in visits:
        share = share_delivered(visit, canary)
        if share is not None and share >= estimate.calm_share:
            calm.append(visit)
    return calm


def _faults_a_call(visits: Sequence[Visit]) -> list[float]:
    """Of each process whose page faults were counted."""
    by_process: dict[int, list[float]] = {}
    for visit in visits:
        if visit.faults is not None:
            by_process.setdefault(visit.process, []).append(visit.faults / visit.count)
    return [median(faults) for faults in by_process.values()]


def _blocks(visits: Sequence[Visit]) -> list[Counted]:
    """The samples of consecutive visits together, as many as are worth one independent one."""
    together = 1
    if len(visits) >= FEWEST_VALUES:
        inefficiency, _ = inefficiency_of(np.array([visit.median_ns for visit in visits]))
        together = math.ceil(inefficiency)
    blocks = []
    for start in range(0, len(visits), together):
        blocks.append(pooled([visit.values_ns for visit in visits[start : start + together]]))
    return blocks


def _throughput_per_s(series: Series, visits: Sequence[Visit], batch: int) -> float:
    """Images a second of wall time, as undisturbed as the time of a call is."""
    ns_per_image = [visit.window_ns / (visit.count * batch) for visit in visits]
    estimate = estimate_of(series.of_times(np.log(np.array(ns_per_image))))
    return NS_PER_S / math.exp(estimate.centre.value)


def _energy_j(visits: Sequence[Visit], launches: Sequence[Launch], batch: int) -> float | None:
    """Of one image, by the visits; where no meter ran with them, by the launches."""
    joules = []
    for visit in visits:
        if visit.joules is not None:
            joules.append(visit.joules / (visit.count * batch))
    if joules:
        return median(joules)
    for launch in launches:
        if launch.measured and launch.energy is not None and launch.energy.joules is not None:
            joules.append(launch.energy.joules / (launch.count * batch))
    return _median_of_known(joules)


def _median_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return median(known)
