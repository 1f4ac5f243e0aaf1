"""What a time would be if the machine delivered all of its speed.

A visit's time ``y`` and the speed ``x`` that a canary was given beside it are both logarithms;
``x`` is 0 where the machine delivers what it can, and below 0 where others take a part. Two
estimates of ``y`` at ``x = 0`` are made:

- **calm**: from the visits near 0 alone, moved to 0 along the slope. The nearest range to 0 whose
  visits suffice is taken, because far from 0 a short cell with many barriers follows no line.
- **whole**: from all visits, along the slope.

The slope is Theil's and Sen's (Theil 1950, Sen 1968), the median of the slopes of all pairs of
visits that lie far enough apart: a few wild visits do not move it. Its interval is that of
Kendall's test, turned around with as many visits as are independent (Sen 1968).

Where there are enough calm visits they decide; where too few visits came near 0 the estimate is
extrapolated, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from deploybench.statistics.dependence import Centre, centre_of_logs, inefficiency_of

Floats = npt.NDArray[np.float64]

CALM_SHARES = (0.98, 0.97, 0.96, 0.95)
"""A visit is calm when the machine delivered at least this share of its speed beside it."""
FARTHEST_CALM = CALM_SHARES[-1]
LEAST_DISTANCE = 0.03
"""Of two visits' speeds: nearer ones tell a slope of their noise."""
MOST_VISITS = 200
"""Of which all pairs are looked at; of more, as many are drawn."""
STEEPEST = 3.0
"""A time that grows with more than the third power of the speed lost is noise."""
FEWEST_PAIRS = 30
FEWEST_CALM = 15
"""Of fewer calm visits none can be known (``dependence.FEWEST_INDEPENDENT``); as many are nearer to
the truth than a line, also where they depend on each other or drift."""

NEARER = 0.85
"""Of its speed the machine delivered at least this beside the visits that are looked at again."""
BEND = 0.02
"""Of a line over so short a way, at its end: what was seen of short cells with many barriers."""


class Basis(str, Enum):
    """What an undisturbed time rests on."""

    CALM = "calm visits"
    EXTRAPOLATED = "extrapolated"
    UNSEEN = "not seen"


@dataclass(frozen=True)
class Slope:
    """By how much ``y`` grows when ``x`` does, with its 95 % interval: from -3 to 0."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Undisturbed:
    """``y`` at ``x = 0``, as a logarithm, with its interval.

    ``calm_visits`` delivered at least ``calm_share`` of the machine's speed. ``whole`` is the
    estimate from all visits; ``agree`` says whether its interval and that of the calm ones overlap,
    or else that from the visits next to them: a bend far off full speed contradicts nothing. It is
    None where there is only one of them.
    """

    centre: Centre
    basis: Basis
    calm_visits: int
    calm_share: float
    slope: Slope
    whole: Centre
    agree: bool | None

    @property
    def known(self) -> bool:
        """Whether it was seen, often enough, and both estimates do not contradict each other."""
        return self.basis is Basis.CALM and self.centre.known


def undisturbed(times: Floats, speeds: Floats, worst_speeds: Floats) -> Undisturbed:
    """The estimate from visits in order of time; all three are logarithms of one entry a visit.

    ``speeds`` are the mean of the canary before and after a visit, ``worst_speeds`` the lower of
    the two: a visit is calm when both were.
    """
    slope = slope_of(times, speeds)
    whole = _at_full_speed(times, speeds, slope)
    calm: Centre | None = None
    count = 0
    share = FARTHEST_CALM
    for share in CALM_SHARES:
        chosen = worst_speeds >= math.log(share)
        count = int(chosen.sum())
        if count == 0:
            continue
        calm = _at_full_speed(times[chosen], speeds[chosen], slope)
        if calm.known:
            break
    if calm is None:
        return Undisturbed(whole, Basis.UNSEEN, 0, share, slope, whole, None)
    agree = _overlap(calm, whole) or _agrees_with_nearer(calm, times, speeds, chosen)
    if calm.known or count >= FEWEST_CALM:
        return Undisturbed(calm, Basis.CALM, count, share, slope, whole, agree)
    return Undisturbed(whole, Basis.EXTRAPOLATED, count, share, slope, whole, agree)


def slope_of(times: Floats, speeds: Floats) -> Slope:
    """How the times follow the delivered speed; 0 where the speed never moved enough to tell."""
    from scipy.stats import norm

    count = len(times)
    if count > MOST_VISITS:
        # Evenly over time, so that every part of the run has its say.
        chosen = np.linspace(0, count - 1, MOST_VISITS).astype(int)
        times, speeds = times[chosen], speeds[chosen]
        count = MOST_VISITS
    first, second = np.triu_indices(count, 1)
    apart = speeds[second] - speeds[first]
    far_enough = np.abs(apart) >= LEAST_DISTANCE
    if int(far_enough.sum()) < FEWEST_PAIRS:
        return Slope(0.0, -STEEPEST, 0.0)
    rises = (times[second] - times[first])[far_enough] / apart[far_enough]
    rises = np.sort(rises)
    pairs = len(rises)

    # Kendall's statistic of independent visits has the variance n (n - 1) (2n + 5) / 18. Dependent
    # ones are worth fewer, of which there are fewer pairs: the share of pairs at either end stays.
    residuals = times - float(np.median(rises)) * speeds
    inefficiency, _ = inefficiency_of(residuals)
    independent = max(count / inefficiency, 4.0)
    variance = independent * (independent - 1) * (2 * independent + 5) / 18
    all_pairs = independent * (independent - 1) / 2
    share = float(norm.ppf(0.975)) * math.sqrt(variance) / all_pairs / 2
    low = rises[max(math.floor(pairs * (0.5 - share)), 0)]
    high = rises[min(math.ceil(pairs * (0.5 + share)), pairs - 1)]
    return Slope(_bounded(float(np.median(rises))), _bounded(float(low)), _bounded(float(high)))


def _bounded(slope: float) -> float:
    """No machine makes a call faster by giving less: a slope above 0 is noise."""
    return min(max(slope, -STEEPEST), 0.0)


def _at_full_speed(times: Floats, speeds: Floats, slope: Slope) -> Centre:
    """The median of the times moved along the slope to full speed.

    Its interval is wider by what the slope's own interval makes of the distance.
    """
    centre = centre_of_logs(times - slope.value * speeds)
    distance = abs(float(np.median(speeds)))
    # A steeper slope takes more off, a flatter one less.
    less = (slope.value - slope.low) * distance
    more = (slope.high - slope.value) * distance
    return Centre(
        value=centre.value,
        low=centre.low - less,
        high=centre.high + more,
        count=centre.count,
        independent=centre.independent,
        surely=centre.surely,
        halves_agree=centre.halves_agree,
    )


def _agrees_with_nearer(
    calm: Centre, times: Floats, speeds: Floats, is_calm: npt.NDArray[np.bool_]
) -> bool:
    """Whether the line through the visits next to the calm ones agrees with these.

    It may miss them by a little: time seldom follows a straight line.
    """
    nearer = (speeds >= math.log(NEARER)) & ~is_calm
    if int(nearer.sum()) < FEWEST_CALM:
        return False
    times, speeds = times[nearer], speeds[nearer]
    line = _at_full_speed(times, speeds, slope_of(times, speeds))
    return calm.low - BEND <= line.high and line.low <= calm.high + BEND


def _overlap(first: Centre, second: Centre) -> bool:
    return first.low <= second.high and second.low <= first.high
