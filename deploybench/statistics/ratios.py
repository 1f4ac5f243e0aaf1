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
    """The centre and interval of ratios paired by round; None without any. One pair has no
    interval: coverage 0."""
    if not ratios:
        return None
    logs = np.log(np.asarray(ratios, dtype=np.float64))
    first, second = np.triu_indices(len(logs))
    return _from_ordered(
        np.sort((logs[first] + logs[second]) / 2), _signed_rank_tail(len(logs)), len(logs), True
    )


def unpaired_ratio(baseline: Sequence[float], candidate: Sequence[float]) -> Ratio | None:
    """The same for the launch medians of two runs; None when a side has none."""
    if not baseline or not candidate:
        return None
    differences = np.log(np.asarray(baseline))[:, None] - np.log(np.asarray(candidate))[None, :]
    tail = _rank_sum_tail(len(baseline), len(candidate))
    return _from_ordered(
        np.sort(differences.ravel()), tail, min(len(baseline), len(candidate)), False
    )


def answer(ratio: Ratio | None, margin: float = DEFAULT_MARGIN) -> Answer:
    """SAME when the whole interval is within ``margin`` of 1; FASTER or SLOWER when the interval
    excludes 1 and its centre is not within the margin; else AMBIGUOUS: what lies within the margin
    is never called faster."""
    if ratio is None or ratio.coverage < CONFIDENCE:
        return Answer.AMBIGUOUS
    if _within(ratio.low, margin) and _within(ratio.high, margin):
        return Answer.SAME
    if _within(ratio.value, margin) or ratio.low <= 1 <= ratio.high:
        return Answer.AMBIGUOUS
    return Answer.FASTER if ratio.value > 1 else Answer.SLOWER


def half_width_that_settles(ratio: Ratio, margin: float = DEFAULT_MARGIN) -> float:
    """How narrow the interval around the same centre must be before :func:`answer` is no longer
    AMBIGUOUS."""
    distance = abs(math.log(ratio.value))
    return math.log1p(margin) - distance if _within(ratio.value, margin) else distance


def more_rounds(count: int, half_width: float, wanted: float) -> int:
    """How many more rounds would narrow the interval to ``wanted``: its width goes with 1 /
    sqrt(rounds)."""
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
    """``tail[k]`` is the probability that fewer than k + 1 of the ordered values lie below the
    truth.

    The interval runs from the value after the first ``k`` to the one before the last ``k``, with
    the largest ``k`` whose coverage is at least 95 %, or ``k`` = 0 where none is.
    """
    inside = np.flatnonzero(1 - 2 * tail[: (len(logs) + 1) // 2] >= CONFIDENCE - 1e-12)
    index = int(inside[-1]) if len(inside) else 0
    low, high = float(logs[index]), float(logs[len(logs) - 1 - index])
    return Ratio(
        math.exp(median(logs.tolist())),
        math.exp(low),
        math.exp(high),
        max(1 - 2 * float(tail[index]), 0.0),
        count,
        paired,
    )


@cache
def _signed_rank_tail(count: int) -> Floats:
    """P(W <= k) for the signed-rank statistic of ``count`` values without ties."""
    chances = np.zeros(count * (count + 1) // 2 + 1)
    chances[0] = 1.0
    for rank in range(1, count + 1):
        shifted = np.zeros_like(chances)
        shifted[rank:] = chances[:-rank]
        chances = (chances + shifted) / 2
    return np.cumsum(chances)


@cache
def _rank_sum_tail(first: int, second: int) -> Floats:
    """P(U <= k) for the rank-sum statistic of two samples without ties.

    The chances are the coefficients of the Gaussian binomial, built factor by factor: times
    (1 - q^(second + i)), divided by (1 - q^i), for i up to ``first``.
    """
    ways = np.zeros(
        first * second + 1, dtype=object
    )  # Python's integers: the factors cancel exactly
    ways[0] = 1
    for index in range(1, first + 1):
        step = second + index
        ways[step:] = ways[step:] - ways[: max(len(ways) - step, 0)]
        for start in range(index):
            ways[start::index] = np.cumsum(ways[start::index])
    below = np.cumsum(ways)
    return np.array([count / below[-1] for count in below])
