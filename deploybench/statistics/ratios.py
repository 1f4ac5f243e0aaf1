"""How many times faster one thing is than another, with an interval, and the answer that follows.

Ratios are of launch medians. Within a run they are paired by round: both launches of a pair met
nearly the same machine. The centre is Hodges and Lehmann's (1963), the median of all pairwise means
of the log ratios: when the machine changes state inside a round, that pair is an outlier, which a
mean follows and this does not. The interval is that of the signed-rank test (Wilcoxon 1945; the
exact distribution), whose only assumption holds by design: under equality each log ratio is
symmetric around 0, because the order within a round is random. Between runs nothing is paired: the
centre is the median of all differences of the logs, its interval that of the rank-sum test (Mann
and Whitney 1947).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
import numpy.typing as npt

from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL, half_width, median

Floats = npt.NDArray[np.float64]

MOST_ROUNDS = 1000
"""A difference that needs more rounds than this is too small for launches to settle."""
DEFAULT_MARGIN = 0.02
"""Within 2 % of each other two cells are called the same, unless the user sets another margin."""


class Answer(str, Enum):
    """Is the candidate faster than the baseline? AMBIGUOUS: more rounds are needed to tell."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    AMBIGUOUS = "AMBIGUOUS"


@dataclass(frozen=True)
class Ratio:
    """Baseline time / candidate time (above 1: the candidate is faster).

    ``count`` pairs, or the smaller side's launches when ``paired`` is false.
    """

    value: float
    low: float
    high: float
    coverage: float
    count: int
    paired: bool

    @property
    def half_width(self) -> float:
        """The farther end's distance from the centre, relative to it."""
        return half_width(self.value, self.low, self.high)


def paired_ratio(ratios: Sequence[float]) -> Ratio | None:
    """The centre and interval of ratios paired by round; None without any.

    One pair has no interval: its coverage is 0.
    """
    if not ratios:
        return None
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    # The Walsh averages: the mean of every pair of logs, each log with itself too. Their median is
    # the centre, and the signed-rank test turned around picks the interval's ends from them.
    first, second = np.triu_indices(len(logs))
    averages = np.sort((logs[first] + logs[second]) / 2)
    tail = _signed_rank_tail(len(logs))
    return _from_ordered(averages, tail, count=len(logs), paired=True)


def unpaired_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> Ratio | None:
    """The same for the launch medians of two runs; None when a side has none."""
    if not baseline or not candidate:
        return None
    # The log ratio of each launch of one run to each of the other. As above, but it is the rank-sum
    # test that picks the ends.
    differences = np.log(np.asarray(baseline))[:, None] - np.log(np.asarray(candidate))[None, :]
    tail = _rank_sum_tail(len(baseline), len(candidate))
    smaller = min(len(baseline), len(candidate))
    return _from_ordered(np.sort(differences.ravel()), tail, count=smaller, paired=False)


def answer(ratio: Ratio | None, margin: float = DEFAULT_MARGIN) -> Answer:
    """What the interval says.

    SAME when the whole interval is within ``margin`` of 1; FASTER or SLOWER when the interval
    excludes 1 and its centre is not within the margin; else AMBIGUOUS: what lies within the margin
    is never called faster.
    """
    if ratio is None or ratio.coverage < CONFIDENCE:
        return Answer.AMBIGUOUS
    if _within(ratio.low, margin) and _within(ratio.high, margin):
        return Answer.SAME
    if _within(ratio.value, margin) or ratio.low <= 1 <= ratio.high:
        return Answer.AMBIGUOUS
    if ratio.value > 1:
        return Answer.FASTER
    return Answer.SLOWER


def half_width_that_settles(ratio: Ratio, margin: float = DEFAULT_MARGIN) -> float:
    """How narrow the interval around this centre must be for :func:`answer` not to be AMBIGUOUS.

    Within the margin it has to end before the margin's edge (SAME); outside, before 1.
    """
    distance = abs(math.log(ratio.value))
    if _within(ratio.value, margin):
        return math.log1p(margin) - distance
    return distance


def more_rounds(count: int, half_width: float, wanted: float) -> int:
    """How many more rounds would narrow the interval to ``wanted``.

    Its width goes with 1 / sqrt(rounds).
    """
    if count < FEWEST_FOR_INTERVAL:
        return FEWEST_FOR_INTERVAL - count
    if half_width <= wanted:
        return 0
    if wanted <= 0:  # the centre is on the edge of the margin
        return MOST_ROUNDS + 1
    return max(math.ceil(count * (half_width / wanted) ** 2) - count, 1)


def _within(value: float, margin: float) -> bool:
    return 1 / (1 + margin) <= value <= 1 + margin


def _from_ordered(logs: Floats, tail: Floats, count: int, paired: bool) -> Ratio:
    """The ratio whose logs, or means or differences of them, are sorted in ``logs``.

    ``tail[k]`` is the probability that at most ``k`` of the sorted values lie below the truth. The
    interval runs from the value after the first ``k`` to the one before the last ``k``, with the
    largest ``k`` whose coverage is at least 95 %, or ``k`` = 0 where none is.
    """
    outside, coverage = _place_in(tail, len(logs))
    low = float(logs[outside])
    high = float(logs[len(logs) - 1 - outside])
    return Ratio(
        value=math.exp(median(logs.tolist())),
        low=math.exp(low),
        high=math.exp(high),
        coverage=coverage,
        count=count,
        paired=paired,
    )


def interval_place(first: int, second: int) -> tuple[int, float]:
    """How many of the sorted differences of two samples of these sizes lie outside the interval of
    :func:`unpaired_ratio` at either end, and with what probability it covers the truth."""
    return _place_in(_rank_sum_tail(first, second), first * second)


def _place_in(tail: Floats, count: int) -> tuple[int, float]:
    """How many of ``count`` sorted values to leave out at either end, and what then is covered."""
    # The coverage of each pair of ends from the outermost inwards, as far as they do not cross.
    # The small number lets an exact 95 % pass that rounding has made a little less.
    coverages = 1 - 2 * tail[: (count + 1) // 2]
    enough = np.flatnonzero(coverages >= CONFIDENCE - 1e-12)
    outside = 0
    if len(enough) > 0:
        outside = int(enough[-1])
    return outside, max(float(coverages[outside]), 0.0)


@cache
def _signed_rank_tail(count: int) -> Floats:
    """P(W <= k) for the signed-rank statistic of ``count`` values without ties (Wilcoxon 1945).

    W is the sum of the ranks of the values that are positive. Under the null hypothesis each rank
    is in it or not like a fair coin, apart from the others.
    """
    # chances[w] is P(W = w), of no rank at first, then with one rank more in each turn: W stays as
    # it is, or is larger by the rank, with one half each.
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        with_rank = np.zeros_like(chances)
        with_rank[rank:] = chances[:-rank]
        chances = (chances + with_rank) / 2
    return np.cumsum(chances)


@cache
def _rank_sum_tail(first: int, second: int) -> Floats:
    """P(U <= k) for the rank-sum statistic of two samples without ties (Mann and Whitney 1947).

    The number of orders of the two samples that give U = u is the coefficient of q^u in the
    Gaussian binomial, the product of (1 - q^(second + i)) / (1 - q^i) for i from 1 to ``first``.
    """
    # The coefficients, Python's integers: the factors cancel exactly, and nothing overflows.
    ways = np.zeros(first * second + 1, dtype=object)
    ways[0] = 1
    for i in range(1, first + 1):
        # Times (1 - q^power): take away the same coefficients, moved up by the power.
        power = second + i
        moved = ways[: max(len(ways) - power, 0)]
        ways[power:] = ways[power:] - moved
        # Divided by (1 - q^i), that is times 1 + q^i + q^2i + ...: a running sum in steps of i.
        for start in range(i):
            ways[start::i] = np.cumsum(ways[start::i])
    at_most = np.cumsum(ways)
    orders = at_most[-1]
    return np.array([count / orders for count in at_most])
