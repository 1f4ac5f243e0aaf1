"""The ratios of many pairs at once: what ``ratios.py`` and ``shift.py`` say of one, over arrays.

Each function takes arrays with an entry a pair and gives the logarithms of the centre and of both
ends of the interval, with its coverage. Pairs of equal numbers of launches are worked out together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    Answer,
    interval_place,
)
from deploybench.statistics.samples import CONFIDENCE

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Times = tuple[Floats, Floats, Floats]
"""A value each, and both ends of its interval."""
Texts = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Lists:
    """Many lists of numbers in one array: list ``i`` is ``values[starts[i] : starts[i + 1]]``."""

    values: Floats
    starts: npt.NDArray[np.int64]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.starts)

    def of_length(self, places: npt.NDArray[np.int64], length: int) -> Floats:
        """The lists at these places, all of that length, as (places, length)."""
        lists: Floats = self.values[self.starts[places][:, None] + np.arange(length)[None, :]]
        return lists


@dataclass(frozen=True)
class ManyRatios:
    """Baseline time / candidate time of each pair, as logarithms; NaN where there is none."""

    centre: Floats
    low: Floats
    high: Floats
    coverage: Floats

    @property
    def parts(self) -> tuple[Floats, Floats, Floats, Floats]:
        return self.centre, self.low, self.high, self.coverage


def unpaired_ratios(baseline: Lists, candidate: Lists, *, only_apart: bool = False) -> ManyRatios:
    """As :func:`ratios.unpaired_ratio`, of the launch medians of two runs each.

    With ``only_apart`` pairs whose interval holds 1 are left NaN: to see that takes no sorting.
    """
    pairs = len(baseline.starts) - 1
    centre, low, high, coverage = (np.full(pairs, np.nan) for _ in range(4))
    lengths = np.stack([baseline.lengths, candidate.lengths], axis=1)
    for first, second in np.unique(lengths, axis=0).tolist():
        if first == 0 or second == 0:
            continue
        places = np.flatnonzero((lengths == (first, second)).all(axis=1))
        outside, covered = interval_place(first, second)
        if only_apart:
            places = _apart(baseline, candidate, places, (first, second), outside)
        # Some at a time: all differences of a group would be many times what was read.
        for some in np.array_split(places, 1 + len(places) * first * second // 4_000_000):
            slow = np.log(baseline.of_length(some, first))
            fast = np.log(candidate.of_length(some, second))
            differences = np.sort(
                (slow[:, :, None] - fast[:, None, :]).reshape(len(some), first * second), axis=1
            )
            middle = differences[:, (first * second - 1) // 2], differences[:, first * second // 2]
            centre[some] = (middle[0] + middle[1]) / 2
            low[some] = differences[:, outside]
            high[some] = differences[:, first * second - 1 - outside]
        coverage[places] = covered
    return ManyRatios(centre, low, high, coverage)


def _apart(
    baseline: Lists,
    candidate: Lists,
    places: npt.NDArray[np.int64],
    lengths: tuple[int, int],
    outside: int,
) -> npt.NDArray[np.int64]:
    """The pairs whose interval does not hold 1: so few differences lie on the other side of it."""
    below = np.zeros(len(places), dtype=np.int64)
    above = np.zeros(len(places), dtype=np.int64)
    first = baseline.of_length(places, lengths[0])
    second = candidate.of_length(places, lengths[1])
    for column in range(lengths[1]):
        below += (first <= second[:, column : column + 1]).sum(axis=1)
        above += (first >= second[:, column : column + 1]).sum(axis=1)
    return places[(below <= outside) | (above <= outside)]


def ratios_of_intervals(slow: Times, fast: Times, known: Flags) -> ManyRatios:
    """Of times with intervals (value, low, high) whose errors know nothing of each other.

    ``known`` says which intervals of both sides can be trusted: others cover nothing. Where an
    interval is missing (NaN) there is a ratio and no interval.
    """
    slow_log, slow_low, slow_high = (np.log(part) for part in slow)
    fast_log, fast_low, fast_high = (np.log(part) for part in fast)
    centre = slow_log - fast_log
    below = np.hypot(slow_log - slow_low, fast_high - fast_log)
    above = np.hypot(slow_high - slow_log, fast_log - fast_low)
    missing = np.isnan(below) | np.isnan(above)
    covers = np.where(known & ~missing, CONFIDENCE, 0.0)
    below, above = np.where(missing, 0.0, below), np.where(missing, 0.0, above)
    return ManyRatios(centre, centre - below, centre + above, covers)


def widened(ratios: ManyRatios, half_width: Floats, moved: Floats) -> ManyRatios:
    """The intervals with the shift of whole runs (squares add up), then both ends moved out by
    ``moved``. Both are logarithms."""
    below = np.hypot(ratios.centre - ratios.low, half_width) + moved
    above = np.hypot(ratios.high - ratios.centre, half_width) + moved
    return ManyRatios(ratios.centre, ratios.centre - below, ratios.centre + above, ratios.coverage)


def moved_probes(ratios: ManyRatios) -> Floats:
    """By how much a probe moved between two runs (log); 0 where that is within chance."""
    outside = (ratios.low > 0) | (ratios.high < 0)
    beyond_chance = outside & (ratios.coverage >= CONFIDENCE)
    return np.where(beyond_chance, np.abs(ratios.centre), 0.0)


def answers(ratios: ManyRatios, can_answer: Flags, margin: float = DEFAULT_MARGIN) -> Texts:
    """As :func:`ratios.answer`; AMBIGUOUS where a side cannot give one."""
    edge = np.log1p(margin)
    known = (ratios.coverage >= CONFIDENCE) & can_answer
    same = known & (ratios.low >= -edge) & (ratios.high <= edge)
    apart = known & (np.abs(ratios.centre) > edge) & ((ratios.low > 0) | (ratios.high < 0))
    found = np.full(len(ratios.centre), Answer.AMBIGUOUS.value, dtype="U9")
    found[apart & (ratios.centre > 0)] = Answer.FASTER.value
    found[apart & (ratios.centre < 0)] = Answer.SLOWER.value
    found[same] = Answer.SAME.value
    return found
