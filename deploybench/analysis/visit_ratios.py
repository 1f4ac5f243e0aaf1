"""Ratios of two cells that were visited in the same rounds: numbers in, numbers out.

There are three: of the visits of each round (*paired*, as the machine was), of the medians of all
visits, and of the undisturbed times. :func:`settled` says which of them is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.analysis.process_effects import effects_of
from deploybench.results.visit import Visit
from deploybench.statistics.dependence import Centre, widest_interval
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL

MUCH_SURER = 0.8
"""The undisturbed ratio counts when its interval is narrower than this share of the other one."""
Floats = npt.NDArray[np.float64]
Ends = tuple[float, float, float]
"""The lower end, the value and the upper end of a logarithm."""


@dataclass(frozen=True)
class Settled:
    """The ratio that is the answer; ``remark`` says which others it contradicts, in words."""

    ratio: Ratio
    remark: str = ""


def settled(paired: Ratio, undisturbed: Ratio | None, of_medians: Ratio | None = None) -> Settled:
    """Which ratio is the answer.

    The paired one, unless both undisturbed times are known and their ratio contradicts it: then
    contention slows the two cells by different amounts; or is much surer, because contention makes
    pairs scatter. Or unless it contradicts that of the medians, which is what anybody would reckon
    from the two times that are shown: then one side has modes of its own, and the middle of the
    ratios is not the ratio of the middles.
    """
    if undisturbed is not None and undisturbed.coverage >= CONFIDENCE:
        if _contradict(paired, undisturbed):
            return Settled(
                undisturbed,
                f"undisturbed {_text(undisturbed)}, as the machine was {_text(paired)}: contention "
                "slows the two by different amounts",
            )
        is_surer = undisturbed.half_width < MUCH_SURER * paired.half_width
        if paired.coverage < CONFIDENCE or is_surer:
            return Settled(undisturbed)
    if of_medians is not None and _contradict(paired, of_medians):
        return Settled(
            of_medians,
            f"of the medians of all visits; paired by round it is {_text(paired)}: one of the two "
            "has modes of its own",
        )
    return Settled(paired)


def paired_logs(baseline: Sequence[Visit], candidate: Sequence[Visit]) -> Floats:
    """The logarithms of baseline / candidate of each round that visited both, in order of time.

    Of several visits in one round the n-th of both are a pair. What the processes of either differ
    by is taken out: the error that follows from it is one of its own.
    """
    before, after = _by_round(baseline), _by_round(candidate)
    logs = []
    for number in sorted(before.keys() & after.keys()):
        for slow, fast in zip(before[number], after[number], strict=False):
            logs.append(slow - fast)
    return np.array(logs)


def ratio_of_pairs(pairs: Centre, logs: Floats) -> Ratio:
    """The centre of paired logarithms as a ratio; its coverage is 0 where it is not known.

    Where it is not known how dependent the pairs are the interval is the widest that they allow: a
    large ratio is then still an answer. Where that is none, it is from the least of all pairs to
    the largest, as long as they seem to be worth enough independent ones: of six, all lie on one
    side of their median once in thirty-two times. Too few pairs have no interval, and the same
    ends.
    """
    low, high = pairs.low, pairs.high
    known = pairs.known
    if not known:
        widest = widest_interval(logs)
        if widest is not None:
            low, high = min(low, widest[0]), max(high, widest[1])
            known = True
        elif pairs.independent >= FEWEST_FOR_INTERVAL:
            # The interval so far has what processes differ by, which may reach farther.
            low, high = min(low, float(logs.min())), max(high, float(logs.max()))
            known = True
    if not math.isfinite(low):
        low = float(logs.min())
    if not math.isfinite(high):
        high = float(logs.max())
    return Ratio(
        value=math.exp(pairs.value),
        low=math.exp(low),
        high=math.exp(high),
        coverage=CONFIDENCE if known else 0.0,
        count=pairs.count,
        paired=True,
    )


def ratio_of_medians(slow: Centre, fast: Centre, *, known: bool | None = None) -> Ratio | None:
    """The ratio of two medians that are logarithms; None where one has no interval.

    ``known`` says whether both can be trusted, where more decides about it than they themselves.
    """
    if known is None:
        known = slow.known and fast.known
    if not math.isfinite(slow.distance) or not math.isfinite(fast.distance):
        return None
    return ratio_of_times(
        (slow.low, slow.value, slow.high),
        (fast.low, fast.value, fast.high),
        known=known,
        count=min(slow.count, fast.count),
    )


def ratio_of_times(slow: Ends, fast: Ends, *, known: bool, count: int) -> Ratio:
    """The ratio of two times.

    Both intervals are combined as errors that know nothing of each other: what the two have in
    common makes the true one narrower.
    """
    slow_low, slow_value, slow_high = slow
    fast_low, fast_value, fast_high = fast
    centre = slow_value - fast_value
    below = math.hypot(slow_value - slow_low, fast_high - fast_value)
    above = math.hypot(slow_high - slow_value, fast_value - fast_low)
    return Ratio(
        value=math.exp(centre),
        low=math.exp(centre - below),
        high=math.exp(centre + above),
        coverage=CONFIDENCE if known else 0.0,
        count=count,
        paired=False,
    )


def _by_round(visits: Sequence[Visit]) -> dict[int, list[float]]:
    """The logarithms of the visits of each round, all processes at the level of their mean."""
    counted = [visit for visit in visits if visit.count]
    by_round: dict[int, list[float]] = {}
    if not counted:
        return by_round
    times = np.log(np.array([visit.median_ns for visit in counted]))
    processes = np.array([visit.process for visit in counted], dtype=np.int64)
    times = times - effects_of(times, processes).of_each(processes)
    for visit, time in zip(counted, times.tolist(), strict=True):
        by_round.setdefault(visit.round, []).append(time)
    return by_round


def _contradict(first: Ratio, second: Ratio) -> bool:
    """Whether the intervals have no point in common."""
    return first.low > second.high or second.low > first.high


def _text(ratio: Ratio) -> str:
    return f"x{ratio.value:.3g}"
