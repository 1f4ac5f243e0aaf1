"""The statistics of samples: nearest-rank percentiles, distribution-free intervals, rank correlation.

Percentiles are nearest rank on the raw samples, MLPerf LoadGen's rule, never interpolated. A percentile
is given only when there are enough samples for one of them to lie above the true value with 95 %
confidence (Wilks 1941: 1 - p^n >= 0.95): 5 for p50, 29 for p90, 299 for p99.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An interval and the probability with which such intervals cover the true median."""

    low: float
    high: float
    coverage: float


def samples_needed(fraction: float) -> int:
    """How many samples a percentile needs; ``fraction`` is 0.99 for p99."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(fraction))


def percentile(samples: Sequence[float], fraction: float) -> float | None:
    """The nearest-rank percentile, or None when there are too few samples for it."""
    if len(samples) < samples_needed(fraction):
        return None
    return nearest_rank(samples, fraction)


def nearest_rank(samples: Sequence[float], fraction: float) -> float:
    """The smallest sample that at least ``fraction`` of the samples do not exceed. Needs one sample."""
    ordered = sorted(samples)
    rank = max(math.ceil(fraction * len(ordered) - 1e-9), 1)
    return ordered[rank - 1]


def median(values: Sequence[float]) -> float:
    """The usual median in float (the mean of the middle two when there is an even number)."""
    return float(statistics.median(values))


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval | None:
    """The distribution-free interval of the median from order statistics (the sign test turned around).

    The narrowest symmetric pair of order statistics that covers with ``confidence``; with fewer than
    six values no pair does, and the range is returned with the coverage that it has (3 values: 75 %).
    None for fewer than two values.
    """
    count = len(values)
    if count < 2:
        return None
    ordered = sorted(values)
    best = 0
    for index in range((count - 1) // 2 + 1):
        if _coverage(count, index) >= confidence:
            best = index
    return Interval(ordered[best], ordered[count - 1 - best], _coverage(count, best))


def spread(values: Sequence[float]) -> float:
    """The range of the values relative to their median."""
    return (max(values) - min(values)) / median(values)


def kendall_tau(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b of two paired lists; None when it is not defined (fewer than two, or all tied)."""
    from scipy.stats import kendalltau

    if len(first) < 2 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    tau: float = kendalltau(first, second).statistic
    return float(tau)


def _coverage(count: int, index: int) -> float:
    """The probability that the median lies between order statistics ``index`` and ``count - 1 - index``."""
    outside = sum(math.comb(count, k) for k in range(index + 1)) / 2.0**count
    return 1 - 2 * outside
