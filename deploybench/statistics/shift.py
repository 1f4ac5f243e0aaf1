"""By how much whole runs of the same thing differ, and how wide that makes a ratio of two runs.

What shifts a whole run is the same in all of its samples: the layout of its processes' memory, a
neighbour who stayed, the host that moved the machine. No interval of one run knows it. The time of
a run is taken as the true one times exp(N(0, deviation)), so that the log ratio of two runs varies
by the square root of 2 times the deviation.

- **Estimated** from several runs of the same thing: their own standard deviation, pooled over the
  things, with Student's t for its degrees of freedom (that it is an estimate is in the width).
- **Assumed** where there are too few: :data:`ASSUMED_SHIFT` of times as experienced,
  :data:`ASSUMED_SHIFT_UNDISTURBED` of undisturbed ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import CONFIDENCE

Floats = npt.NDArray[np.float64]
ASSUMED_SHIFT = 0.03
"""Of times as the machine was. Nothing in a run tells its shift, so this is a choice: false alarms
are at most 5 % wherever whole runs shift by 3 % or less (benchmarks/between_runs.py). Shared
machines shift by more, and the probes or the canary then say so."""
ASSUMED_SHIFT_UNDISTURBED = 0.011
"""Of times at full delivered speed. Four cells measured twice, 16 minutes apart on two shared
virtual cores (43.21 and 43.20, 43.37 and 43.06, 42.15 and 42.11, 60.8 and 59.6 ms, while the times
as experienced fell by 6 to 23 %), differ by 1.06 % (root of the mean square). A fifth difference of
that kind lies within Student's t(4) = 2.78 times as much: ±2.9 %, which is that of a deviation of
1.06 % a run."""
FEWEST_DEGREES = 3
"""Of four runs of one thing. Student's t is 3.2 then, and 4.3 or 12.7 of fewer."""


@dataclass(frozen=True)
class RunShift:
    """By how much (standard deviation of the logarithm) a whole run shifts.

    ``half_width`` is what that makes of the log ratio of two runs, with 95 %. ``runs`` is how many
    it was estimated from; 0: it is assumed.
    """

    deviation: float
    half_width: float
    runs: int


def assumed_shift(deviation: float) -> RunShift:
    """A shift that is taken for granted: 0 for runs that are known not to shift."""
    # The standard library's: SciPy takes longer to import than all else of a comparison.
    quantile = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    return RunShift(deviation, quantile * math.sqrt(2) * deviation, 0)


def estimated_shift(things: Sequence[Sequence[float]]) -> RunShift | None:
    """The shift that runs show; None where they are too few.

    ``things`` holds, for each thing that was measured in several runs, the time of every run. What
    differs between two things is no shift, so each has its own mean.
    """
    from scipy.stats import t as student

    squares = 0.0
    degrees = 0
    runs = 0
    for times in things:
        logs = [math.log(time) for time in times]
        if len(logs) < 2:
            continue
        mean = sum(logs) / len(logs)
        squares += sum((log - mean) ** 2 for log in logs)
        degrees += len(logs) - 1
        runs += len(logs)
    if degrees < FEWEST_DEGREES:
        return None
    deviation = math.sqrt(squares / degrees)
    quantile = float(student.ppf(0.5 + CONFIDENCE / 2, degrees))
    return RunShift(deviation, quantile * math.sqrt(2) * deviation, runs)


def half_widths(squares: Floats, degrees: Floats) -> Floats:
    """As :func:`estimated_shift`, for many pairs: each with its sum of squares and its degrees of
    freedom, of which it has enough."""
    from scipy.stats import t as student

    # The degrees are few numbers that many pairs share.
    each, place = np.unique(degrees, return_inverse=True)
    quantiles = student.ppf(0.5 + CONFIDENCE / 2, each)[place]
    widths: Floats = quantiles * np.sqrt(2 * squares / degrees)
    return widths


def shifted(ratio: Ratio, shift: RunShift) -> Ratio:
    """The ratio of two runs, its interval wider by their shifts.

    Both are independent errors, so the distances of an end from the centre add up as squares do.
    """
    centre = math.log(ratio.value)
    below = math.hypot(centre - math.log(ratio.low), shift.half_width)
    above = math.hypot(math.log(ratio.high) - centre, shift.half_width)
    return Ratio(
        value=ratio.value,
        low=math.exp(centre - below),
        high=math.exp(centre + above),
        coverage=ratio.coverage,
        count=ratio.count,
        paired=ratio.paired,
    )
