"""Where the level of a series changes: a rank statistic, and permutations of the series.

For each place that parts a series in two the rank sum of the first part is compared with what it
would be without a change (Mann and Whitney 1947; Pettitt 1979, *A non-parametric approach to the
change-point problem*, divides by nothing; here the difference is divided by its deviation, so that
a change near an end is found as well as one in the middle). The largest of them is the statistic of
the series. How large it gets without a change is found by permuting the series (as E-divisive does:
Matteson and James 2014, used for benchmarks by Daly et al. 2020), so no distribution is assumed,
and one wild value of a run counts no more than its rank.

Each of the two parts is then searched in turn. Afterwards every change is held against its own two
neighbours, and left out where it is none between them.

What is assumed: **without a change the values are exchangeable**. Whole runs that shift, each by
itself, are: the shift is the scatter that the permutations see. Runs that stay shifted together for
a while (a neighbour for a week) are not, and are changes by this measure: of the machine.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ALARM = 0.01
"""Of series without a change so many are said to have one at one look. A fifth of what an interval
allows, because a history is looked at after every run: of 40 runs that makes 6 in 100 series."""
PERMUTATIONS = 9999
"""So many that a clean step of :data:`FEWEST` values, of whose permutations 0.8 in 100 look as
changed, is not lost to the draw: of 1999 permutations it was in one series of six. A series without
a change is left after a few hundred."""
SHORTEST = 3
"""Records on either side of a change: one may be a run that was shifted, and so may two."""
FEWEST = 10
"""Of fewer values no order is rarer than :data:`ALARM`: of ten with five on either side 2 in 252
are, of nine with four and five 2 in 126."""
WINDOW = 6.0
"""How much less likely (twice the logarithm) a place may be than the likeliest, and be the one. Of
steps that are found 88 to 100 in 100 lie in that window: python -m benchmarks.history_changes."""
AT_ONCE = 2_000_000
"""Values of permuted series that are held at a time."""


@dataclass(frozen=True)
class Change:
    """The level changes at ``index``: the value there is the first of the new level.

    It may as well be any from ``earliest`` to ``latest``. ``p`` is the share of permuted series
    that look at least as changed.
    """

    index: int
    earliest: int
    latest: int
    p: float


def changes_of(values: Sequence[float], alarm: float = ALARM) -> list[Change]:
    """The changes of level in a series, in order. None where there are fewer than ten values.

    ``values`` are in the order of time, in any unit: only their order by size counts.
    """
    series = np.asarray(values, dtype=float)
    found = sorted(_search(series, 0, len(series), alarm))
    return _held_against_neighbours(series, found, alarm)


def _search(series: Floats, start: int, stop: int, alarm: float) -> list[int]:
    """The first place of each new level between ``start`` and ``stop``."""
    found: list[int] = []
    open_parts = [(start, stop)]
    while open_parts:
        begin, end = open_parts.pop()
        change = _change_in(series[begin:end], alarm)
        if change is None:
            continue
        place = begin + change.index
        found.append(place)
        open_parts += [(begin, place), (place, end)]
    return found


def _held_against_neighbours(series: Floats, places: list[int], alarm: float) -> list[Change]:
    """The changes that remain where each is alone between the one before and the one after it."""
    places = list(places)
    while True:
        kept: list[Change] = []
        dropped = None
        for number, _ in enumerate(places):
            begin = places[number - 1] if number else 0
            end = places[number + 1] if number + 1 < len(places) else len(series)
            change = _change_in(series[begin:end], alarm)
            if change is None:
                dropped = number
                break
            kept.append(
                Change(
                    index=begin + change.index,
                    earliest=begin + change.earliest,
                    latest=begin + change.latest,
                    p=change.p,
                )
            )
        if dropped is None:
            return kept
        del places[dropped]


def _change_in(series: Floats, alarm: float) -> Change | None:
    """The one change that stands out most, where it stands out at all."""
    count = len(series)
    if count < FEWEST:
        return None
    ranks = _mid_ranks(series)
    statistic, index = _largest(ranks[None, :])
    if statistic[0] <= 0:
        return None  # all values are the same
    # The same series gives the same answer: the generator begins from the order of its values.
    generator = np.random.default_rng(zlib.crc32(ranks.tobytes()))
    at_least = 0
    allowed = math.floor(alarm * (PERMUTATIONS + 1)) - 1
    drawn = 0
    while drawn < PERMUTATIONS:
        some = min(max(AT_ONCE // count, 1), PERMUTATIONS - drawn, max(4 * drawn, 100))
        shuffled = generator.permuted(np.tile(ranks, (some, 1)), axis=1)
        at_least += int(np.count_nonzero(_largest(shuffled)[0] >= statistic[0] - 1e-9))
        drawn += some
        if at_least > allowed:
            return None
    earliest, latest = _window(ranks, int(index[0]))
    return Change(int(index[0]), earliest, latest, (1 + at_least) / (1 + PERMUTATIONS))


def _window(ranks: Floats, index: int) -> tuple[int, int]:
    """The first and the last place that may be the one.

    Two levels of normal ranks: twice the logarithm of the likelihood of a place is less than that
    of the best by count x log(squares / least squares), and is held against :data:`WINDOW`.
    """
    count = len(ranks)
    places = np.arange(1, count)
    sums = np.cumsum(ranks)[:-1]
    total = ranks.sum()
    explained = sums**2 / places + (total - sums) ** 2 / (count - places)
    squares = np.maximum((ranks**2).sum() - explained, 1e-9)
    likely = places[count * np.log(squares / squares[index - 1]) <= WINDOW]
    return int(min(likely.min(), index)), int(max(likely.max(), index))


def _largest(ranks: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Of each series (a row of ``ranks``) the largest standardised difference and its place."""
    count = ranks.shape[1]
    places = np.arange(SHORTEST, count - SHORTEST + 1)
    sums = np.cumsum(ranks, axis=1)[:, places - 1]
    expected = places * (count + 1) / 2
    # The deviation of a rank sum but for a factor that all places share.
    differences = np.abs(sums - expected) / np.sqrt(places * (count - places))
    best = np.argmax(differences, axis=1)
    return differences[np.arange(len(ranks)), best], places[best]


def _mid_ranks(series: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(series, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts - 1) / 2
    ranks: Floats = middle[place].astype(float)
    return ranks
