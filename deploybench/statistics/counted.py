"""Samples by value: each with how many there are, whether every one was kept or they were binned.

A model of 6 µs gives half a million samples in three seconds. Beyond a number of samples a launch
keeps counts in bins of equal ratio instead: bin ``i`` holds what lies from (1 + w)^i up to
(1 + w)^(i+1), as HdrHistogram and DDSketch (Masson et al. 2019) do. Counts are exact, and a
percentile read from them lies within w of that of the raw samples.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BIN_WIDTH = 0.001
"""A tenth of a percent: a tenth of the narrowest interval that a run is asked for."""


@dataclass(frozen=True)
class Counted:
    """``values`` in ascending order; ``upto[i]`` samples are at most ``values[i]``.

    Of raw samples a value stands as often as there are samples of it.
    """

    values: Sequence[float]
    upto: Sequence[int]

    def __len__(self) -> int:
        return self.upto[-1] if self.upto else 0

    def at(self, rank: int) -> float:
        """The sample of that rank, counted from 0."""
        return self.values[bisect_right(self.upto, rank)]

    def nearest_rank(self, fraction: float) -> float:
        """The percentile by LoadGen's rule, as :func:`samples.nearest_rank`."""
        return self.at(int(len(self) * fraction))

    def median(self) -> float:
        """The usual median in float (the mean of the middle two of an even number)."""
        count = len(self)
        if count % 2:
            return float(self.at(count // 2))
        return (self.at(count // 2 - 1) + self.at(count // 2)) / 2

    def at_most(self, value: float) -> int:
        """How many samples are no larger than ``value``."""
        index = bisect_right(self.values, value)
        return self.upto[index - 1] if index else 0


@dataclass(frozen=True)
class Bins:
    """The bins that are not empty, by number, with their counts, and the two extremes."""

    numbers: tuple[int, ...]
    counts: tuple[int, ...]
    smallest: int
    largest: int


def counted(samples: Sequence[float] | Counted) -> Counted:
    """Raw samples as counted ones."""
    if isinstance(samples, Counted):
        return samples
    return Counted(sorted(samples), range(1, len(samples) + 1))


def pooled(groups: Sequence[Counted]) -> Counted:
    """The samples of all groups together."""
    if all(isinstance(group.upto, range) for group in groups):
        return counted([sample for group in groups for sample in group.values])
    counts: Counter[float] = Counter()
    for group in groups:
        before = 0
        for value, upto in zip(group.values, group.upto, strict=True):
            counts[value] += upto - before
            before = upto
    values = sorted(counts)
    return Counted(values, tuple(itertools.accumulate(counts[value] for value in values)))


def binned(samples: Iterable[int], width: float = BIN_WIDTH) -> Bins:
    """Count positive whole numbers in bins; what is less than 1 counts as 1. Needs one sample."""
    counts = Counter(samples)
    scale = math.log1p(width)
    bins: Counter[int] = Counter()
    for value, count in counts.items():
        bins[math.floor(math.log(max(value, 1)) / scale)] += count
    numbers = sorted(bins)
    return Bins(
        tuple(numbers),
        tuple(bins[number] for number in numbers),
        max(min(counts), 1),
        max(max(counts), 1),
    )


def of_bins(bins: Bins, width: float = BIN_WIDTH) -> Counted:
    """The samples of bins, each at the (geometric) middle of its bin, the ends at the extremes."""
    scale = math.log1p(width)
    values = []
    for number in bins.numbers:
        middle = math.exp((number + 0.5) * scale)
        values.append(min(max(middle, bins.smallest), bins.largest))
    return Counted(values, tuple(itertools.accumulate(bins.counts)))
