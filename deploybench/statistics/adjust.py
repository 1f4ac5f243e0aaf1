"""What a time would be if the machine delivered all of its speed.

A visit's time ``y`` and the speed ``x`` that a canary was given beside it are both logarithms;
``x`` is 0 in the middle of what the machine delivers when it is calm, and below 0 where others take
a part. Two estimates of ``y`` at ``x = 0`` are made:

- **calm**: from the visits near 0 alone. Their middle is moved to 0 along a slope of its own: near
  full speed it is the clock that moves; farther off it is the neighbours, and one cell suffers much
  from them and another little. Of several ranges the one that knows it best is taken: farther ones
  have more visits, and more of the slope's error. None goes far, because there a short cell with
  many barriers follows no line.
- **whole**: from all visits, along the slope of all.

The slope is Theil's and Sen's (Theil 1950, Sen 1968), the median of the slopes of all pairs of
visits that lie far enough apart: a few wild visits do not move it. Its interval is that of
Kendall's test, turned around with as many visits as are independent (Sen 1968). What is known
before any visit is that a call on half of a machine takes about twice as long, or a little more.
Both are weighed by their errors, so that a machine that hardly moved, which shows no slope, is not
taken for one that does not matter. What is worked out from far off may lie along another slope
than the one that was seen there: by how much slopes of a cell vary is in its interval.

Where there are enough calm visits they decide, if some were at (nearly) full speed. How they depend
on each other all visits tell, along the line, where the calm ones are too few for that. Where too
few came near 0 the estimate is extrapolated, and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import numpy.typing as npt

from deploybench.statistics.dependence import (
    FEWEST_INDEPENDENT,
    Centre,
    centre_of_logs,
    inefficiency_of,
)

Floats = npt.NDArray[np.float64]

CALM_SHARES = (0.95, 0.93, 0.90)
"""A visit is calm when the machine delivered at least this share of its speed beside it. Of nearer
ranges the visits would be those whose speed was read too high."""
FARTHEST_CALM = CALM_SHARES[0]
"""Full speed was seen where some visits were given this share of it."""
FEWEST_SEEN = 5
EXPECTED_SLOPE = -1.2
EXPECTED_ERROR = 0.6
"""One standard deviation. Of 98 runs of 13 cells on two virtual cores the slopes were -0.1 to -3.1:
short calls of many barriers are steep, long matrix products flat."""
NEAR_SLOPE = -0.8
NEAR_ERROR = 0.15
"""The same between the middle of a run's calm visits and the calm machine: of ten calm runs in two
hours, whose speeds lay up to 7 % apart, four cells had slopes of -0.6 to -0.9. A slope within a run
says nothing of it: b0 had -2.9 within one, where something moved it that moved the canary less."""
NORMAL_95 = 1.96
"""Standard errors to either side of an interval of 95 %."""
LEAST_DISTANCE = 0.03
"""Of two visits' speeds: nearer ones tell a slope of their noise."""
MOST_VISITS = 200
"""Of which all pairs are looked at; of more, as many are drawn."""
STEEPEST = 3.0
"""A time that grows with more than the third power of the speed lost is noise."""
FEWEST_PAIRS = 30
LEAST_SLOPE_ERROR = 0.02
SLOPES_VARY = 0.25
"""One standard deviation between runs of one cell, which follows one kind of contention more
steeply than another. Of ten cells, 5 to 17 runs each, it was 0.14 to 0.54; a part of that is the
error of each slope."""
FEWEST_CALM_INDEPENDENT = 8.0
"""Of calm visits whose dependence all visits show."""
LEAST_RELIABILITY = 0.5
"""Where more than half of what the speeds vary by is noise they show no slope."""
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


@dataclass(frozen=True)
class SpeedNoise:
    """How well the speed beside a visit is known: standard deviations of logarithms.

    ``speed`` is that of the median of all readings near a visit. Visits near each other share
    readings: ``own`` is that of as many readings as there are for each visit.
    """

    speed: float = 0.0
    own: float = 0.0


EXACT = SpeedNoise()


def undisturbed(times: Floats, speeds: Floats, noise: SpeedNoise = EXACT) -> Undisturbed:
    """The estimate from visits in order of time; both are logarithms of one entry a visit.

    ``speeds`` are the shares of its speed that the machine delivered beside the visits, known as
    well as ``noise`` says.
    """
    slope = slope_of(times, speeds, noise)
    whole = _at_full_speed(times, speeds, slope, noise)
    extrapolated = _other_contention(whole, speeds)
    seen = int((speeds >= math.log(FARTHEST_CALM)).sum())
    if seen == 0:
        return Undisturbed(extrapolated, Basis.UNSEEN, 0, FARTHEST_CALM, slope, whole, None)

    share, calm = _best_known(times, speeds, slope, noise, whole)
    is_calm = speeds >= math.log(share)
    count = int(is_calm.sum())
    agree = _overlap(calm, whole) or _agrees_with_nearer(calm, times, speeds, is_calm, noise)
    if count >= FEWEST_CALM and seen >= FEWEST_SEEN:
        return Undisturbed(calm, Basis.CALM, count, share, slope, whole, agree)
    return Undisturbed(extrapolated, Basis.EXTRAPOLATED, seen, FARTHEST_CALM, slope, whole, agree)


def _best_known(
    times: Floats, speeds: Floats, slope: Slope, noise: SpeedNoise, whole: Centre
) -> tuple[float, Centre]:
    """The range of calm visits with the narrowest interval, and their estimate.

    Where none is known it is the farthest, which has most visits.
    """
    found = []
    for share in CALM_SHARES:
        is_calm = speeds >= math.log(share)
        if is_calm.any():
            centre = _of_calm(times[is_calm], speeds[is_calm], noise)
            found.append((share, _as_dependent_as(whole, centre)))
    known = [(share, centre) for share, centre in found if centre.known]
    if known:
        return min(known, key=lambda one: one[1].distance)
    return found[-1]


def _other_contention(centre: Centre, speeds: Floats) -> Centre:
    """The same where the way to full speed may lead along another slope than the one seen."""
    distance = abs(float(np.median(speeds)))
    return centre.with_error(NORMAL_95 * SLOPES_VARY * distance)


def _as_dependent_as(whole: Centre, calm: Centre) -> Centre:
    """The calm visits, known by what all visits show of how they depend on each other.

    Two dozen visits cannot rule out that they tell as little as five; a hundred, along the line,
    can. The interval is as wide as the larger dependence of the two asks for.
    """
    if calm.known or not whole.known or calm.independent == 0:
        return calm
    inefficiency = max(calm.count / calm.independent, whole.count / whole.independent)
    independent = calm.count / inefficiency
    if independent < FEWEST_CALM_INDEPENDENT or not math.isfinite(calm.distance):
        return calm
    wider = math.sqrt(calm.independent / independent)
    return replace(
        calm,
        low=calm.value - wider * (calm.value - calm.low),
        high=calm.value + wider * (calm.high - calm.value),
        independent=independent,
        surely=FEWEST_INDEPENDENT,
    )


def slope_of(times: Floats, speeds: Floats, noise: SpeedNoise = EXACT) -> Slope:
    """How the times follow the delivered speed: as expected, and as far as the visits show it."""
    seen = _slope_seen(times, speeds, noise)
    if seen is None:
        reach = NORMAL_95 * EXPECTED_ERROR
        return Slope(EXPECTED_SLOPE, EXPECTED_SLOPE - reach, EXPECTED_SLOPE + reach)
    # Two estimates that know nothing of each other, each with one over its variance as its weight.
    error = max((seen.high - seen.low) / (2 * NORMAL_95), LEAST_SLOPE_ERROR)
    weight_seen, weight_expected = 1 / error**2, 1 / EXPECTED_ERROR**2
    weights = weight_seen + weight_expected
    value = (weight_seen * seen.value + weight_expected * EXPECTED_SLOPE) / weights
    reach = NORMAL_95 / math.sqrt(weights)
    return Slope(_bounded(value), _bounded(value - reach), _bounded(value + reach))


def _slope_seen(times: Floats, speeds: Floats, noise: SpeedNoise) -> Slope | None:
    """The slope of the visits alone; None where the speed never moved enough to tell.

    Noise in the speeds makes a slope flatter, by the share of their variance that is no noise
    (Fuller 1987, the reliability ratio); it is made steeper by that again.
    """
    from scipy.stats import norm

    variance_seen = float(speeds.var())
    reliability = 1.0
    if variance_seen > 0:
        reliability = 1 - noise.speed**2 / variance_seen
    if reliability < LEAST_RELIABILITY:
        return None
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
        return None
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
    low = float(rises[max(math.floor(pairs * (0.5 - share)), 0)])
    high = float(rises[min(math.ceil(pairs * (0.5 + share)), pairs - 1)])
    flatter = float(np.median(rises))
    return Slope(flatter / reliability, low / reliability, high / reliability)


def _bounded(slope: float) -> float:
    """No machine makes a call faster by giving less: a slope above 0 is noise."""
    return min(max(slope, -STEEPEST), 0.0)


def _at_full_speed(
    times: Floats, speeds: Floats, slope: Slope, noise: SpeedNoise = EXACT
) -> Centre:
    """The median of the times moved along the slope to full speed.

    Its interval is wider by what the slope's own interval makes of the distance, and by the error
    of the speeds.
    """
    centre = centre_of_logs(times - slope.value * speeds)
    distance = abs(float(np.median(speeds)))
    of_slope = (slope.high - slope.low) / 2 * distance
    of_speeds = NORMAL_95 * abs(slope.value) * noise.own / math.sqrt(len(times))
    return centre.with_error(math.hypot(of_slope, of_speeds))


def _of_calm(times: Floats, speeds: Floats, noise: SpeedNoise) -> Centre:
    """The middle of calm visits, moved to full speed.

    What they scatter by is smaller along their own slope. Their middle is moved along another one:
    by so little it is the clock that moves them all, and not who else is there.
    """
    middle = float(np.median(speeds))
    own = slope_of(times, speeds, noise)
    centre = centre_of_logs(times - own.value * (speeds - middle))
    moved = -NEAR_SLOPE * middle
    first, second = centre.halves
    centre = replace(
        centre,
        value=centre.value + moved,
        low=centre.low + moved,
        high=centre.high + moved,
        halves=(first + moved, second + moved),
    )
    of_way = NORMAL_95 * NEAR_ERROR * abs(middle)
    of_speeds = NORMAL_95 * abs(NEAR_SLOPE) * noise.own / math.sqrt(len(times))
    return centre.with_error(math.hypot(of_way, of_speeds))


def _agrees_with_nearer(
    calm: Centre,
    times: Floats,
    speeds: Floats,
    is_calm: npt.NDArray[np.bool_],
    noise: SpeedNoise,
) -> bool:
    """Whether the line through the visits next to the calm ones agrees with these.

    It may miss them by a little: time seldom follows a straight line.
    """
    nearer = (speeds >= math.log(NEARER)) & ~is_calm
    if int(nearer.sum()) < FEWEST_CALM:
        return False
    times, speeds = times[nearer], speeds[nearer]
    line = _at_full_speed(times, speeds, slope_of(times, speeds, noise), noise)
    return calm.low - BEND <= line.high and line.low <= calm.high + BEND


def _overlap(first: Centre, second: Centre) -> bool:
    return first.low <= second.high and second.low <= first.high
