"""By how much the processes of a cell differ: numbers in, numbers out.

The same cell takes a little longer in one process than in another, for as long as both live: memory
is laid out otherwise. All values are logarithms of times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.dependence import FEWEST_VALUES, Centre, centre_of
from deploybench.statistics.samples import CONFIDENCE, deviation_of_median

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

LEAST_SHIFT = 0.005
"""Between processes, a logarithm: a third of the widest interval of a VALID time."""
SHIFT_CONFIDENCE = 0.99
"""That two processes differ has to be surer than an interval: each cell is asked once or more."""
USUAL_SPREAD = 0.005
"""Between processes of a cell, one standard deviation (a logarithm), before any of it was seen. Of
some 300 processes of eleven cells in 88 runs on two virtual cores it was 0.0 to 1.0 %, on average
0.5 %; benchmarks/processes.py tells it of one machine."""
USUAL_WEIGHT = 8.0
"""As if so many differences of processes had shown it: that is how far the variances of those
eleven cells lay apart (of a scaled inverse chi-squared distribution their relative variance is
2 / (weight - 4))."""


@dataclass(frozen=True)
class Effects:
    """By how much each process differs from the one that was visited most.

    ``by_process`` has those that were visited often enough to tell; ``noise`` is the standard error
    of one, infinite where there is one process. ``shift`` is the largest difference between two of
    them, 0 where chance alone explains it. ``alike`` is the number of processes that were visited
    equally often and would tell as much as these.
    """

    by_process: Mapping[int, float]
    noise: float
    shift: float
    alike: float

    def of_each(self, processes: Integers) -> Floats:
        """For each visit by how much its process is slower than the mean of all visits; 0 where
        the processes do not differ beyond chance."""
        if self.shift == 0:
            return np.zeros(len(processes))
        effects = np.array([self.by_process.get(int(process), math.nan) for process in processes])
        slower: Floats = np.nan_to_num(effects - np.nanmean(effects))
        return slower

    def error_of_mean(self) -> float:
        """The half-width of the interval of the mean of all processes that might be started.

        Their variance is weighed from the usual one and the one that was seen, each by how many
        differences of processes it rests on: a scaled inverse chi-squared distribution, whose
        interval of a mean is Student's (Gelman and others, Bayesian Data Analysis, 3.3).
        """
        from scipy.stats import t as student

        usual = USUAL_SPREAD**2
        seen, share, differences = 0.0, 0.0, 0.0
        if len(self.by_process) > 1:
            # Each effect is a difference, so its noise is that of two processes.
            noise = self.noise**2 / 2
            # What noise hides tells little of the spread: a difference counts by the share of its
            # variance that is none.
            share = (usual / (usual + noise)) ** 2
            differences = share * (len(self.by_process) - 1)
            # What they vary by noise alone is in the interval of the visits already.
            varying = float(np.var(list(self.by_process.values()), ddof=1))
            seen = max(varying - noise, 0.0)
        weight = USUAL_WEIGHT + differences
        weighed = (USUAL_WEIGHT * usual + differences * seen) / weight
        # Processes that differ more than is usual are believed, as far as it is no noise: their
        # cell is not a usual one.
        variance = max(weighed, share * seen)
        factor = float(student.ppf(0.5 + CONFIDENCE / 2, weight))
        return factor * math.sqrt(variance / self.alike)


def effects_of(times: Floats, processes: Integers) -> Effects:
    """Processes of a cell take turns, so each visit is held against the nearest one of the other
    process: what the machine did in the meantime is in both. Both series are in order of time.
    """
    names, counts = np.unique(processes, return_counts=True)
    usual = int(names[int(np.argmax(counts))])
    confidence = 1 - (1 - SHIFT_CONFIDENCE) / max(len(names) - 1, 1)
    moments_of_usual = np.flatnonzero(processes == usual)
    by_process = {usual: 0.0}
    variances = []
    surely = False
    for name in names.tolist():
        moments = np.flatnonzero(processes == name)
        if name == usual or len(moments) < FEWEST_VALUES:
            continue
        beside = _nearest(moments_of_usual, moments)
        apart = times[moments] - times[beside]
        difference = centre_of(apart, confidence)
        by_process[name] = difference.value
        deviation = deviation_of_median(float(np.median(np.abs(apart - difference.value))))
        variances.append(deviation**2 / max(difference.independent, 1.0))
        if abs(difference.value) >= LEAST_SHIFT and _is_apart(apart, difference, confidence):
            surely = True
    shift = 0.0
    if surely:
        shift = max(by_process.values()) - min(by_process.values())
    noise = math.sqrt(sum(variances) / len(variances)) if variances else math.inf
    alike = float(counts.sum()) ** 2 / float((counts**2).sum())
    return Effects(by_process, noise, shift, alike)


def _is_apart(apart: Floats, difference: Centre, confidence: float) -> bool:
    """Whether the differences of two processes are no chance."""
    if difference.low > 0 or difference.high < 0:
        return True
    # Too few for an interval may all lie on one side: that is the sign test.
    on_one_side = bool((apart > 0).all() or (apart < 0).all())
    return on_one_side and 2 * 0.5**difference.independent <= 1 - confidence


def _nearest(others: Integers, moments: Integers) -> Integers:
    """For each moment the nearest of the other ones; both in ascending order."""
    after = np.clip(np.searchsorted(others, moments), 1, len(others) - 1)
    before = after - 1
    is_nearer = moments - others[before] <= others[after] - moments
    nearest: Integers = np.where(is_nearer, others[before], others[after])
    return nearest
