"""The statistics of samples.

Nearest-rank percentiles, distribution-free intervals, rank correlation.

A percentile is one of the raw samples by MLPerf LoadGen's rule, never interpolated: of the sorted
samples the one at the whole part of count x fraction, counted from 0 (results.cc). It is given only
when there are enough samples for a two-sided distribution-free 95 % interval around it (the largest
sample lies above the true value with 97.5 %: 1 - p^n >= 0.975): 6 for p50, 36 for p90, 368 for p99,
3688 for p99.9.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.statistics.counted import Counted, counted, pooled

CONFIDENCE = 0.95
MEDIAN_DISTANCE = 0.674
FEWEST_FOR_INTERVAL = 6
"""Of five launches or pairs even the widest interval (sign test, signed-rank test) covers only
93.75 %."""


@dataclass(frozen=True)
class Interval:
    """An interval and the probability with which such intervals cover the true value."""

    low: float
    high: float
    coverage: float

    def half_width(self, centre: float) -> float:
        """The farther end's distance from ``centre``, relative to it."""
        return half_width(centre, self.low, self.high)


@dataclass(frozen=True)
class Quantile:
    """A percentile with its interval.

    ``value`` and the ends are None when ``samples`` is fewer than ``needed``.
    """

    fraction: float
    value: float | None
    low: float | None
    high: float | None
    samples: int
    needed: int


def half_width(centre: float, low: float, high: float) -> float:
    """The farther end's distance from ``centre``, relative to it."""
    return max(high - centre, centre - low) / centre


def samples_needed(fraction: float) -> int:
    """How many independent samples a percentile from p50 on needs; ``fraction`` is 0.99 for p99."""
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(fraction))


def nearest_rank(samples: Sequence[float], fraction: float) -> float:
    """The percentile by LoadGen's rule. Needs one sample; ``fraction`` is from 0 to under 1."""
    return sorted(samples)[int(len(samples) * fraction)]


def quantile(groups: Sequence[Sequence[float] | Counted], fraction: float) -> Quantile:
    """A percentile of all samples; its interval knows that samples of one launch are alike.

    ``groups`` holds the samples of each launch. The interval is Woodruff's (1952): the binomial
    interval of the share of samples below the percentile, turned around, with the number of samples
    divided by the design effect: how much more that share varies between launches than between
    independent samples (Kish 1965).
    """
    from scipy.stats import binom

    by_group = [counted(group) for group in groups if len(group)]
    everything = pooled(by_group)
    count = len(everything)
    fewest = samples_needed(fraction)
    if count < fewest:
        return Quantile(fraction, None, None, None, count, fewest)
    value = everything.nearest_rank(fraction)

    # Alike samples tell as much as this smaller number of independent ones (Kish's effective
    # sample size), and as many more samples are needed for the interval to exist.
    effect = _design_effect(by_group, value)
    independent = int(count / effect)
    needed = math.ceil(fewest * effect)
    if independent < fewest:
        return Quantile(fraction, None, None, None, count, needed)

    # The true percentile lies between these two ranks (counted from 1) of the independent samples:
    # the number of samples below it follows a binomial distribution.
    tail = (1 - CONFIDENCE) / 2
    low_rank = max(int(binom.ppf(tail, independent, fraction)), 1)
    high_rank = min(int(binom.ppf(1 - tail, independent, fraction)) + 1, independent)

    # Scale both ranks to all samples. Rounding can leave the percentile just outside, so the
    # interval is widened to contain it.
    low = everything.at(_rank_among(count, low_rank, independent) - 1)
    high = everything.at(_rank_among(count, high_rank, independent) - 1)
    return Quantile(fraction, value, min(low, value), max(high, value), count, needed)


def median(values: Sequence[float]) -> float:
    """The usual median in float (the mean of the middle two when there is an even number)."""
    return float(statistics.median(values))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The distribution-free interval of the median from order statistics (the sign test turned
    around).

    The narrowest symmetric pair of order statistics that covers with ``confidence``; with fewer
    than six values no pair does, and the range is returned with the coverage that it has (3 values:
    75 %). None for fewer than two values.
    """
    count = len(values)
    if count < 2:
        return None
    ordered = sorted(values)
    # Of the pairs from the outside in, the innermost that still covers enough.
    best = 0
    for index in range((count - 1) // 2 + 1):
        if _coverage(count, index) >= confidence:
            best = index
    return Interval(ordered[best], ordered[count - 1 - best], _coverage(count, best))


def spread(values: Sequence[float]) -> float:
    """How far the values lie apart, relative to their median.

    Nearest-rank p90 less p10, which of nine or fewer values is their range.
    """
    return (nearest_rank(values, 0.9) - nearest_rank(values, 0.1)) / median(values)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b of two paired lists.

    None when it is not defined: fewer than two pairs, or all tied on one side.
    """
    from scipy.stats import kendalltau

    if len(first) < 2 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    tau: float = kendalltau(first, second).statistic
    return float(tau)


def _design_effect(groups: Sequence[Counted], value: float) -> float:
    """How much more the share of samples up to ``value`` varies than if all were independent.

    The variance of that share as estimated from the groups (the ratio estimator for clusters of
    unequal size, Cochran 1977, chapter 3), over the binomial variance; at least 1.
    """
    count = sum(len(group) for group in groups)
    below_by_group = [group.at_most(value) for group in groups]
    share = sum(below_by_group) / count

    # The variance of the share, were all samples independent. Where it is 0, or with one group,
    # nothing tells how alike the samples of a group are.
    binomial = share * (1 - share) / count
    if len(groups) < 2 or binomial == 0:
        return 1.0

    # How far the count in each group is from what the common share expects of a group of its size.
    squares = 0.0
    for group, below in zip(groups, below_by_group, strict=True):
        squares += (below - len(group) * share) ** 2
    clustered = squares / count**2 * len(groups) / (len(groups) - 1)
    return max(clustered / binomial, 1.0)


def _rank_among(count: int, rank: int, independent: int) -> int:
    """The rank among ``count`` samples of what is ``rank`` among ``independent``, rounded up."""
    # the small number takes away what rounding in floating point adds to a whole number
    return math.ceil(count * rank / independent - 1e-9)


def _coverage(count: int, index: int) -> float:
    """How probably the median lies between order statistics ``index`` and ``count - 1 - index``."""
    # Each value is below the median like a fair coin's head: the median lies outside on one side
    # when at most ``index`` of the ``count`` values do.
    ways = sum(math.comb(count, heads) for heads in range(index + 1))
    outside = ways / 2.0**count
    return 1 - 2 * outside


def deviation_of_median(distance: float) -> float:
    """The standard deviation of a median, times the root of how many values it is of.

    ``distance`` is their median distance from it: of a normal distribution it is 0.674 standard
    deviations. The variance of a median of normal values is pi / 2 times that of their mean.
    """
    return distance / MEDIAN_DISTANCE * math.sqrt(math.pi / 2)
