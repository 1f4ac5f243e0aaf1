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

MOST_BLOCKS = 40
FEWEST_SAMPLES = 8
"""Of fewer calls nobody can tell whether they have settled."""
SAME_LEVEL = 0.03
"""Levels within 3 % are one: undisturbed launches of one cell agree about that well."""
LARGEST_WARM_UP = 1 / 3
LARGEST_OFF_LEVEL = 0.2
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
        return Steady(0, False, 0.0, f"{count} calls are too few to see whether they settled")
    edges = np.linspace(0, count, min(MOST_BLOCKS, count) + 1).astype(int)
    values = np.asarray(samples, dtype=np.float64)
    blocks = np.log([np.median(values[a:b]) for a, b in itertools.pairwise(edges)])
    starts = _segment(blocks)
    ends = [*starts[1:], len(blocks)]
    levels = [float(np.median(blocks[start:end])) for start, end in zip(starts, ends, strict=True)]
    shares = [end - max(start, len(blocks) // 2) for start, end in zip(starts, ends, strict=True)]
    from_steady = np.array(levels) - levels[int(np.argmax(shares))]
    warm_up = int(np.argmax(from_steady <= math.log1p(SAME_LEVEL)))
    cut = int(edges[starts[warm_up]])
    off = [
        end - start
        for start, end, far in zip(starts, ends, from_steady, strict=True)
        if abs(far) > math.log1p(SAME_LEVEL)
    ]
    off_level = (sum(off) - starts[warm_up]) / (len(blocks) - starts[warm_up])
    if cut > count * LARGEST_WARM_UP:
        return Steady(cut, False, off_level, f"still warming up after {cut} of {count} calls")
    if off_level > LARGEST_OFF_LEVEL:
        return Steady(
            cut,
            False,
            off_level,
            f"{off_level:.0%} of the calls lie at another level than the rest",
        )
    return Steady(cut, True, off_level, "")


def _segment(blocks: npt.NDArray[np.float64]) -> list[int]:
    """The first index of each segment of the best segmentation."""
    count = len(blocks)
    differences = np.diff(blocks)
    noise = max(
        float(np.median(np.abs(differences - np.median(differences)))) * 1.4826 / math.sqrt(2), 1e-4
    )
    penalty = PENALTY * noise**2 * math.log(count)
    sums, squares = np.append(0, np.cumsum(blocks)), np.append(0, np.cumsum(blocks**2))
    best, previous = np.zeros(count + 1), [0]
    for end in range(1, count + 1):
        lengths = end - np.arange(end)
        deviations = squares[end] - squares[:end] - (sums[end] - sums[:end]) ** 2 / lengths
        costs = best[:end] + deviations + penalty
        previous.append(int(np.argmin(costs)))
        best[end] = costs[previous[end]]
    starts = [previous[count]]
    while starts[-1] > 0:
        starts.append(previous[starts[-1]])
    return starts[::-1]
