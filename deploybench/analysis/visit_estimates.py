"""What the visits of a cell tell of its time: numbers in, numbers out.

A visit is one value, the logarithm of its median. Beside it stands the speed that the canary was
given (``statistics/adjust.py``); without a canary the time is as experienced. The estimate is of
the cell and not of the processes that were visited: where memory is laid out otherwise, another
process takes a little longer or shorter, and the interval spans that. By how much processes differ
is weighed from what is known beforehand and from those that were seen; of two that differ beyond
chance nobody can say which is the usual one, and the time is not known.

Visits of processes that differ are first put at the level of the mean of all: by how much a process
is slower than another is no scatter of the machine, and values of two levels that take turns would
seem to depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deploybench.analysis.process_effects import Effects, effects_of
from deploybench.analysis.visit_verdicts import FEWEST_PROCESSES
from deploybench.results.record import RestsOn
from deploybench.results.visit import AROUND_S, NEW_PAGES, CanaryBest, Visit, middle_of
from deploybench.statistics.adjust import EXACT, Basis, Slope, SpeedNoise, undisturbed
from deploybench.statistics.dependence import Centre, median_of_logs
from deploybench.statistics.drift import drift_of
from deploybench.statistics.samples import deviation_of_median, median

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NS_PER_MS = 1e6
NS_PER_US = 1e3
LARGEST_FAULTS_SHARE = 0.8
"""More than this of a call is no waiting for pages: several threads wait at a time."""
LEAST_DRIFT = 0.01
"""Over a run, a logarithm. Each half of it is then within a quarter of a percent of the whole."""

BASES: dict[Basis, RestsOn] = {
    Basis.CALM: "calm visits",
    Basis.EXTRAPOLATED: "extrapolated",
    Basis.UNSEEN: "not seen",
}


@dataclass(frozen=True)
class Series:
    """The visits of a cell in order of time, one entry each.

    ``times`` are the logarithms of their values; ``speeds`` those of the share of the machine's
    speed that was delivered beside them, None where neither a canary nor a clock told it, and
    ``noise`` how well they are known.
    """

    times: Floats
    speeds: Floats | None
    processes: Integers
    noise: SpeedNoise = EXACT

    def of_times(self, times: Floats) -> Series:
        """Other figures of the same visits."""
        return replace(self, times=times)


@dataclass(frozen=True)
class Estimate:
    """The time of a cell as a logarithm, and what it rests on.

    ``centre`` has the interval; ``whole`` is the estimate from all visits along ``slope``, where a
    canary was read. ``drift`` and ``process_shift`` are logarithms: see
    :class:`deploybench.results.record.Visited`.
    """

    centre: Centre
    basis: RestsOn
    calm_visits: int
    calm_share: float
    slope: Slope
    whole: Centre | None
    agree: bool | None
    drift: float
    processes: int
    process_shift: float | None
    process_error: float = 0.0

    @property
    def steady(self) -> bool:
        """Whether it holds in each half of the time, and no trend goes through it."""
        return self.centre.halves_agree and self.drift == 0

    @property
    def unlike_processes(self) -> bool:
        """Whether processes differ and are too few to tell the usual one."""
        return bool(self.process_shift) and self.processes < FEWEST_PROCESSES

    @property
    def known(self) -> bool:
        """Whether the interval can be trusted."""
        seen = self.basis in ("calm visits", "no canary")
        return seen and self.centre.known and self.steady and not self.unlike_processes


def usable(visits: Sequence[Visit], canary: CanaryBest | None) -> list[Visit]:
    """The visits that have samples.

    Where some have a reading of the canary, the others say nothing of an undisturbed time and are
    left out.
    """
    sampled = [visit for visit in visits if visit.count and visit.window_ns]
    if canary is None:
        return sampled
    with_reading = []
    for visit in sampled:
        if visit.around or visit.before or visit.after:
            with_reading.append(visit)
    return with_reading or sampled


def share_delivered(visit: Visit, canary: CanaryBest) -> float | None:
    """The share of its speed that the machine delivered beside a visit; None without a reading.

    Its speed at what the cell does: as far as it waits for new pages, at these.
    """
    around = visit.around
    if around is None:
        # Of a run before there were readings of the seconds around a visit.
        readings = [reading for reading in (visit.before, visit.after) if reading is not None]
        if not readings:
            return None
        around = middle_of(readings)
    return canary.delivered(around, faults_share(visit, canary))


def faults_share(visit: Visit, canary: CanaryBest) -> float:
    """Which part of its time the cell waits for new pages while the machine is at its best."""
    if not visit.faults or canary.faults_us is None:
        return 0.0
    faults_a_call = visit.faults / visit.count
    waiting_ns = faults_a_call * canary.faults_us / NEW_PAGES * NS_PER_US
    return min(waiting_ns / visit.median_ns, LARGEST_FAULTS_SHARE)


def series_of(visits: Sequence[Visit], canary: CanaryBest | None) -> Series:
    """The medians (ms) of :func:`usable` visits, and the speed that was delivered beside them."""
    times = np.log(np.array([visit.median_ns for visit in visits])) - math.log(NS_PER_MS)
    processes = np.array([visit.process for visit in visits], dtype=np.int64)
    if canary is None:
        return Series(times, _speeds_by_clock(visits), processes)
    shares = []
    for visit in visits:
        share = share_delivered(visit, canary)
        if share is None:
            return Series(times, None, processes)
        shares.append(share)
    return Series(times, np.log(np.array(shares)), processes, _noise(visits))


def _speeds_by_clock(visits: Sequence[Visit]) -> Floats | None:
    """Of a GPU the clock of its cores over the fastest of the run; None where no clock was told."""
    clocks = [visit.clock_mhz for visit in visits if visit.clock_mhz]
    if len(clocks) < len(visits):
        return None
    return np.asarray(np.log(np.array(clocks) / max(clocks)))


def _noise(visits: Sequence[Visit]) -> SpeedNoise:
    """By how much single readings scatter about those around them, and so the median of these."""
    distances = []
    for visit in visits:
        for reading in (visit.before, visit.after):
            if visit.around is not None and reading is not None:
                distances.append(abs(math.log(reading.compute_us / visit.around.compute_us)))
    if not distances:
        return EXACT
    of_median = deviation_of_median(median(distances))
    near = [max(visit.readings_around, 1) for visit in visits if visit.around is not None]
    own = _readings_in_all(visits) / len(visits)
    return SpeedNoise(of_median / math.sqrt(median(near)), of_median / math.sqrt(own))


def _readings_in_all(visits: Sequence[Visit]) -> float:
    """How many readings of the canary tell of these visits: those near several count once."""
    readings = 0.0
    until_s = -math.inf
    for visit in sorted(visits, key=lambda visit: visit.at_s):
        begin_s, end_s = visit.at_s - AROUND_S, visit.end_s + AROUND_S
        new_s = max(end_s - max(begin_s, until_s), 0.0)
        readings += visit.readings_around * new_s / (end_s - begin_s)
        until_s = max(until_s, end_s)
    return max(readings, 1.0)


def estimate_of(series: Series) -> Estimate:
    """The undisturbed time; as experienced where there was no canary. Needs one visit."""
    effects = effects_of(series.times, series.processes)
    times = series.times - effects.of_each(series.processes)
    if series.speeds is None:
        return _between_processes(
            Estimate(
                centre=median_of_logs(times),
                basis="no canary",
                calm_visits=0,
                calm_share=0.0,
                slope=Slope(0.0, 0.0, 0.0),
                whole=None,
                agree=None,
                drift=_drift(times),
                processes=len(set(series.processes.tolist())),
                process_shift=None,
            ),
            effects,
        )
    adjusted = undisturbed(times, series.speeds, series.noise)
    at_full_speed = times - adjusted.slope.value * series.speeds
    counted = at_full_speed
    if adjusted.basis is Basis.CALM:
        counted = at_full_speed[series.speeds >= math.log(adjusted.calm_share)]
    return _between_processes(
        Estimate(
            centre=adjusted.centre,
            basis=BASES[adjusted.basis],
            calm_visits=adjusted.calm_visits,
            calm_share=adjusted.calm_share,
            slope=adjusted.slope,
            whole=adjusted.whole,
            agree=adjusted.agree,
            drift=_drift(counted),
            processes=len(set(series.processes.tolist())),
            process_shift=None,
        ),
        effects_of(series.times - adjusted.slope.value * series.speeds, series.processes),
    )


def _drift(times: Floats) -> float:
    drift = drift_of(times)
    if abs(drift) < LEAST_DRIFT:
        return 0.0
    return drift


def _between_processes(estimate: Estimate, effects: Effects) -> Estimate:
    """The same with what processes differ by: an independent error of the interval."""
    error = effects.error_of_mean()
    return replace(
        estimate,
        process_shift=effects.shift if estimate.processes > 1 else None,
        process_error=error,
        centre=estimate.centre.with_error(error),
    )
