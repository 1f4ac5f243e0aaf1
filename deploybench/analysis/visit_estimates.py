"""What the visits of a cell tell of its time: numbers in, numbers out.

A visit is one value, the logarithm of its median. Beside it stands the speed that the canary was
given (``statistics/adjust.py``); without a canary the time is as experienced. The estimate is of
the cell and not of the processes that were visited: where memory is laid out otherwise, another
process takes a little longer or shorter, and the interval spans that. By how much processes differ
is weighed from what is known beforehand and from those that were seen; of two that differ beyond
chance nobody can say which is the usual one, and the time is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deploybench.analysis.visit_verdicts import FEWEST_PROCESSES
from deploybench.results.record import RestsOn
from deploybench.results.visit import AROUND_S, NEW_PAGES, CanaryBest, Visit, middle_of
from deploybench.statistics.adjust import EXACT, Basis, Slope, SpeedNoise, undisturbed
from deploybench.statistics.dependence import FEWEST_VALUES, Centre, centre_of, median_of_logs
from deploybench.statistics.drift import drift_of
from deploybench.statistics.samples import CONFIDENCE, median

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NS_PER_MS = 1e6
MEDIAN_DISTANCE = 0.674
NS_PER_US = 1e3
LARGEST_FAULTS_SHARE = 0.8
"""More than this of a call is no waiting for pages: several threads wait at a time."""
LEAST_DRIFT = 0.01
"""Over a run, a logarithm. Each half of it is then within a quarter of a percent of the whole."""
LEAST_SHIFT = 0.005
"""Between processes, a logarithm: a third of the widest interval of a VALID time."""
SHIFT_CONFIDENCE = 0.99
"""That two processes differ has to be surer than an interval: each cell is asked once or more."""
USUAL_SPREAD = 0.005
"""Between processes of a cell, one standard deviation (a logarithm), before any of it was seen. Of
30 processes of three cells that took turns on one machine it was 0.0, 0.4 and 0.8 % (benchmarks/
processes.py)."""
USUAL_WEIGHT = 4.0
"""As if so many differences of processes had shown it."""


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
    of_median = _deviation_of_median(median(distances))
    near = [max(visit.readings_around, 1) for visit in visits if visit.around is not None]
    own = _readings_in_all(visits) / len(visits)
    return SpeedNoise(of_median / math.sqrt(median(near)), of_median / math.sqrt(own))


def _deviation_of_median(distance: float) -> float:
    """The standard deviation of a median, times the root of how many values it is of.

    ``distance`` is their median distance from it: of a normal distribution it is 0.674 standard
    deviations. The variance of a median of normal values is pi / 2 times that of their mean.
    """
    return distance / MEDIAN_DISTANCE * math.sqrt(math.pi / 2)


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
    if series.speeds is None:
        return _between_processes(
            Estimate(
                centre=median_of_logs(series.times),
                basis="no canary",
                calm_visits=0,
                calm_share=0.0,
                slope=Slope(0.0, 0.0, 0.0),
                whole=None,
                agree=None,
                drift=_drift(series.times),
                processes=len(set(series.processes.tolist())),
                process_shift=None,
            ),
            series.times,
            series.processes,
        )
    adjusted = undisturbed(series.times, series.speeds, series.noise)
    at_full_speed = series.times - adjusted.slope.value * series.speeds
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
        at_full_speed,
        series.processes,
    )


def _drift(times: Floats) -> float:
    drift = drift_of(times)
    if abs(drift) < LEAST_DRIFT:
        return 0.0
    return drift


def _between_processes(estimate: Estimate, times: Floats, processes: Integers) -> Estimate:
    """The same with what processes differ by: an independent error of the interval."""
    effects = _process_effects(times, processes)
    error = _error_of_mean(effects)
    return replace(
        estimate,
        process_shift=effects.shift if estimate.processes > 1 else None,
        process_error=error,
        centre=estimate.centre.with_error(error),
    )


@dataclass(frozen=True)
class Effects:
    """By how much each process differs from the one that was visited most (logarithms).

    ``shift`` is the largest difference that is no chance, 0 where there is none; ``noise`` the
    standard error of an effect, infinite where there is one process. ``alike`` is the number of
    processes that were visited equally often and would tell as much as these.
    """

    effects: Floats
    noise: float
    shift: float
    alike: float


def _process_effects(times: Floats, processes: Integers) -> Effects:
    """Processes of a cell take turns, so each visit is held against the nearest one of the other
    process: what the machine did in the meantime is in both.
    """
    names, counts = np.unique(processes, return_counts=True)
    usual = names[int(np.argmax(counts))]
    confidence = 1 - (1 - SHIFT_CONFIDENCE) / max(len(names) - 1, 1)
    moments_of_usual = np.flatnonzero(processes == usual)
    effects = [0.0]
    variances = []
    surely = False
    for name in names:
        moments = np.flatnonzero(processes == name)
        if name == usual or len(moments) < FEWEST_VALUES:
            continue
        beside = _nearest(moments_of_usual, moments)
        apart = times[moments] - times[beside]
        difference = centre_of(apart, confidence)
        effects.append(difference.value)
        deviation = _deviation_of_median(float(np.median(np.abs(apart - difference.value))))
        variances.append(deviation**2 / max(difference.independent, 1.0))
        excludes_zero = difference.low > 0 or difference.high < 0
        if excludes_zero and abs(difference.value) >= LEAST_SHIFT:
            surely = True
    shift = 0.0
    if surely:
        shift = max(effects) - min(effects)
    noise = math.sqrt(sum(variances) / len(variances)) if variances else math.inf
    alike = float(counts.sum()) ** 2 / float((counts**2).sum())
    return Effects(np.array(effects), noise, shift, alike)


def _error_of_mean(processes: Effects) -> float:
    """The half-width of the interval of the mean of all processes that might be started.

    Their variance is weighed from the usual one and the one that was seen, each by how many
    differences of processes it rests on: a scaled inverse chi-squared distribution, whose interval
    of a mean is Student's (Gelman and others, Bayesian Data Analysis, 3.3).
    """
    from scipy.stats import t as student

    usual = USUAL_SPREAD**2
    seen, share, differences = 0.0, 0.0, 0.0
    if len(processes.effects) > 1:
        # Each effect is a difference, so its noise is that of two processes.
        noise = processes.noise**2 / 2
        # What noise hides tells little of the spread: a difference counts by the share of its
        # variance that is none.
        share = (usual / (usual + noise)) ** 2
        differences = share * (len(processes.effects) - 1)
        # What they vary by noise alone is in the interval of the visits already.
        seen = max(float(processes.effects.var(ddof=1)) - noise, 0.0)
    weight = USUAL_WEIGHT + differences
    weighed = (USUAL_WEIGHT * usual + differences * seen) / weight
    # Processes that differ more than is usual are believed, as far as it is no noise: their cell is
    # not a usual one.
    variance = max(weighed, share * seen)
    factor = float(student.ppf(0.5 + CONFIDENCE / 2, weight))
    return factor * math.sqrt(variance / processes.alike)


def _nearest(others: Integers, moments: Integers) -> Integers:
    """For each moment the nearest of the other ones; both in ascending order."""
    after = np.clip(np.searchsorted(others, moments), 1, len(others) - 1)
    before = after - 1
    is_nearer = moments - others[before] <= others[after] - moments
    nearest: Integers = np.where(is_nearer, others[before], others[after])
    return nearest
