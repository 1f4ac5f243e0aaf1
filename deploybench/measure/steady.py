"""Where the warm-up of a launch ends: found in its samples, never assumed.

The samples are cut into at most 40 blocks of equal count, and the blocks' medians into segments of
one level each: the segmentation with the least sum of squared deviations plus a penalty for every
change (optimal partitioning, Jackson et al. 2005; the penalty scales with the noise, which is read
from the differences of neighbouring blocks). The steady level is that of the segment which covers
most of the second half. As Barrett et al. (2017) do for virtual machines, slower segments before
the first one at that level are the warm-up. A launch never settled when its warm-up fills more than
a third of it, or when more than a fifth of the rest lies at another level: a change of the machine
inside the launch looks like that.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.plurals import counted

MOST_BLOCKS = 40
FEWEST_SAMPLES = 8
"""Of fewer calls nobody can tell whether they have settled."""
SAME_LEVEL = 0.03
"""Levels within 3 % are one: undisturbed launches of one cell agree about that well."""
LARGEST_WARM_UP = 1 / 3
LARGEST_OFF_LEVEL = 0.2
NORMAL_FROM_MAD = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""
SMALLEST_NOISE = 1e-4
"""Of the logarithm: samples that a coarse clock makes equal would else show a change everywhere."""
PENALTY = 6.0
"""In units of noise variance x log(blocks), three times that of Schwarz's criterion: few of the
launches with independent noise of any size show a change."""


@dataclass(frozen=True)
class Steady:
    """``cut`` samples are warm-up.

    ``off_level`` is the share of the later ones in segments at another level.
    """

    cut: int
    settled: bool
    off_level: float
    reason: str


def find_steady(samples: Sequence[int]) -> Steady:
    """The cut of one launch's samples (any unit, in order of time)."""
    count = len(samples)
    if count < FEWEST_SAMPLES:
        return Steady(0, False, 0.0, _too_few(count))

    # The logarithm of each block's median: levels are compared by their ratio.
    edges = np.linspace(0, count, min(MOST_BLOCKS, count) + 1).astype(int)
    values = np.asarray(samples, dtype=np.float64)
    medians = [np.median(values[start:end]) for start, end in itertools.pairwise(edges)]
    blocks = np.log(medians)

    # The steady level is that of the segment with most blocks in the second half.
    starts = _segment(blocks)
    segments = list(itertools.pairwise([*starts, len(blocks)]))
    half = len(blocks) // 2
    levels = [float(np.median(blocks[start:end])) for start, end in segments]
    in_second_half = [end - max(start, half) for start, end in segments]
    steady_level = levels[int(np.argmax(in_second_half))]

    # The warm-up ends where the first segment begins that is not slower than that. There is always
    # one: the steady segment itself.
    tolerance = math.log1p(SAME_LEVEL)
    distances = np.array(levels) - steady_level
    first_steady = int(np.argmax(distances <= tolerance))
    warm_up = starts[first_steady]
    cut = int(edges[warm_up])

    # Of the blocks after the warm-up, the share that lies at another level. All of the warm-up's
    # own blocks do, and they are taken off again.
    off_blocks = 0
    for (start, end), distance in zip(segments, distances, strict=True):
        if abs(distance) > tolerance:
            off_blocks += end - start
    off_level = (off_blocks - warm_up) / (len(blocks) - warm_up)

    if cut > count * LARGEST_WARM_UP:
        calls = counted(count, "call")
        return Steady(cut, False, off_level, f"still warming up after {cut} of {calls}")
    if off_level > LARGEST_OFF_LEVEL:
        reason = f"{off_level:.0%} of the calls lie at another level than the rest"
        return Steady(cut, False, off_level, reason)
    return Steady(cut, True, off_level, "")


def _too_few(count: int) -> str:
    calls = counted(count, "call is too few", "calls are too few")
    return f"{calls} to see whether they settled"


def _segment(blocks: npt.NDArray[np.float64]) -> list[int]:
    """The first index of each segment of the best segmentation.

    Optimal partitioning: the best segmentation of the first ``end`` blocks is the best one of some
    fewer blocks, and one segment from there to ``end``.
    """
    count = len(blocks)
    penalty = PENALTY * _noise(blocks) ** 2 * math.log(count)

    # Running sums of the blocks and of their squares: with them the squared deviations of any
    # stretch from its own mean, sum(x^2) - sum(x)^2 / n, cost one subtraction each.
    sums = np.append(0, np.cumsum(blocks))
    squares = np.append(0, np.cumsum(blocks**2))

    # best[end] is the least cost of the first ``end`` blocks, last_start[end] where the last
    # segment of that segmentation begins.
    best = np.zeros(count + 1)
    last_start = [0]
    for end in range(1, count + 1):
        # for every block where the last segment may begin
        lengths = end - np.arange(end)
        deviations = squares[end] - squares[:end] - (sums[end] - sums[:end]) ** 2 / lengths
        costs = best[:end] + deviations + penalty
        cheapest = int(np.argmin(costs))
        last_start.append(cheapest)
        best[end] = costs[cheapest]

    # Back from the end: where the last segment begins, the one before it ends.
    starts = [last_start[count]]
    while starts[-1] > 0:
        starts.append(last_start[starts[-1]])
    return starts[::-1]


def _noise(blocks: npt.NDArray[np.float64]) -> float:
    """The standard deviation of one block around its level, from the differences of neighbours.

    By the median absolute deviation, which the few differences at a change of level do not move;
    x 1.4826 it is the standard deviation of a normal distribution. A difference has the noise of
    two blocks, sqrt(2) times that of one.
    """
    differences = np.diff(blocks)
    deviation = float(np.median(np.abs(differences - np.median(differences))))
    return max(deviation * NORMAL_FROM_MAD / math.sqrt(2), SMALLEST_NOISE)
