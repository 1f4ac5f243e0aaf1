"""The levels that readings of one probe lie around: those of the states of a machine.

Virtual cores that share a cache one minute and do not the next make a machine with two speeds. The
hop probe's readings then lie around two levels (33 and 180 ns, 105 and 218 ns were seen). They are
split in two where that leaves the least variance of their logarithms, and the split holds when the
levels are 40 % apart and four times as far as the readings of one level scatter; each side is split
again.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deploybench.statistics.samples import median

Floats = npt.NDArray[np.float64]
SAME_STATE = 1.4
"""Levels closer than 40 % are one state: one level's own readings scatter over up to that much."""
CLEAR_OF_SCATTER = 4.0
"""Of readings from one normal distribution the best split is 2.7 standard deviations wide, whatever
their number."""


def levels_of(hops: Sequence[float]) -> list[float]:
    """The level (median) of each state among the readings, shortest hop first."""
    ordered = sorted(hops)
    logs = np.log(np.asarray(ordered, dtype=np.float64))
    edges = np.cumsum([0, *_sizes_of_levels(logs)])
    return [median(ordered[start:end]) for start, end in itertools.pairwise(edges)]


def same_state(first: float | None, second: float | None) -> bool:
    """Whether two levels of the hop are one state; without a probe there is one state only."""
    if first is None or second is None:
        return first is second
    return max(first, second) <= SAME_STATE * min(first, second)


def nearest(levels: Sequence[float], hop: float) -> float:
    """The level that a reading belongs to: the nearest by ratio."""
    return min(levels, key=lambda level: abs(math.log(hop / level)))


def level_of(levels: Sequence[float], hop_ns: float | None) -> float | None:
    """As :func:`nearest`; None where the probe did not run."""
    if hop_ns is None:
        return None
    return nearest(levels, hop_ns)


def _sizes_of_levels(ordered: Floats) -> list[int]:
    """How many of the sorted logarithms belong to each level, the lowest first.

    Split in two where that leaves the least variance, then each side again (binary segmentation;
    in one dimension a split into two groups is a cut of the sorted values, Fisher 1958).
    """
    count = len(ordered)
    if count == 0:
        return []
    if count == 1:
        return [1]

    # For every cut, the squared deviations of each side from its own mean: sum(x^2) - sum(x)^2 / n,
    # from running sums. The entry at 0 is of the cut after the first value.
    sums = np.cumsum(ordered)
    squares = np.cumsum(ordered**2)
    sizes = np.arange(1, count)
    below = squares[:-1] - sums[:-1] ** 2 / sizes
    above = squares[-1] - squares[:-1] - (sums[-1] - sums[:-1]) ** 2 / (count - sizes)
    deviations = below + above
    cut = int(np.argmin(deviations)) + 1
    low, high = ordered[:cut], ordered[cut:]

    # The split holds when the two levels lie far apart, as such and beside what is left of scatter:
    # the pooled standard deviation of both sides, which takes a mean from each.
    apart = float(np.median(high) - np.median(low))
    left_over = max(float(deviations[cut - 1]), 0.0)  # rounding can make it negative
    scatter = math.sqrt(left_over / max(count - 2, 1))
    if apart < math.log(SAME_STATE) or apart < CLEAR_OF_SCATTER * scatter:
        return [count]
    return [*_sizes_of_levels(low), *_sizes_of_levels(high)]
