"""Orders of models by a figure, and whether one order is another one.

A figure with an interval is known as far as its interval: two models whose intervals overlap stand
in no order that could contradict another one. So "the order by latency is the order by MACs" says
that no model with fewer MACs is *clearly* the slower one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from deploybench.statistics.samples import kendall_tau

FEWEST_FOR_CORRELATION = 4
"""Three models stand in one order as in the other one time in six by chance alone, four one time in
24: fewer than these have no correlation worth a number."""


@dataclass(frozen=True)
class Known:
    """A figure and the ends of its interval; without an interval both ends are the figure."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, low: float | None = None, high: float | None = None) -> Known:
        """The figure; an end that is not known is the figure itself."""
        return cls(value, value if low is None else low, value if high is None else high)

    def below(self, other: Known) -> bool:
        """Whether it is clearly the smaller one: the intervals have no point in common."""
        return self.high < other.low


@dataclass(frozen=True)
class OrdersCompared:
    """Whether models stand in one order as they stand in another, both from the least on.

    ``names`` are in the first order. ``exceptions`` are models without which the two orders do not
    contradict each other; each of them was, when it was taken out, the one that contradicted most.
    Of ``pairs`` that are clearly told apart by both figures, ``agreeing`` stand in the same order
    in both. ``tau`` is Kendall's tau-b, None under :data:`FEWEST_FOR_CORRELATION` models.
    """

    names: tuple[str, ...]
    exceptions: tuple[str, ...]
    pairs: int
    agreeing: int
    tau: float | None


def compared_orders(
    first: Mapping[str, Known], second: Mapping[str, Known]
) -> OrdersCompared | None:
    """The models of both, in both orders; None where they are fewer than two."""
    names = sorted((name for name in first if name in second), key=lambda name: first[name].value)
    if len(names) < 2:
        return None
    pairs = 0
    contradictions = set()
    for one, other in combinations(names, 2):
        by_first = _clear_order(first[one], first[other])
        by_second = _clear_order(second[one], second[other])
        if by_first == 0 or by_second == 0:
            continue
        pairs += 1
        if by_first != by_second:
            contradictions.add((one, other))
    tau = None
    if len(names) >= FEWEST_FOR_CORRELATION:
        tau = kendall_tau(
            [first[name].value for name in names], [second[name].value for name in names]
        )
    return OrdersCompared(
        names=tuple(names),
        exceptions=_exceptions(names, contradictions),
        pairs=pairs,
        agreeing=pairs - len(contradictions),
        tau=tau,
    )


def ranks(values: Mapping[str, float], *, most_first: bool = False) -> dict[str, int]:
    """The place of each, from 1 on; equal values share the better place, and the next is left
    out."""
    placed = {}
    for name, value in values.items():
        before = (other > value if most_first else other < value for other in values.values())
        placed[name] = 1 + sum(before)
    return placed


def worth_choosing(times: Mapping[str, Known], accuracies: Mapping[str, Known]) -> list[str]:
    """The models that no other one makes needless, the fastest first.

    A model is needless where another one is clearly faster and at least as accurate, or clearly
    more accurate and at least as fast.
    """
    names = [name for name in times if name in accuracies]
    chosen = []
    for name in sorted(names, key=lambda name: times[name].value):
        others = [other for other in names if other != name]
        if not any(_makes_needless(other, name, times, accuracies) for other in others):
            chosen.append(name)
    return chosen


def _makes_needless(
    other: str, name: str, times: Mapping[str, Known], accuracies: Mapping[str, Known]
) -> bool:
    clearly_faster = times[other].below(times[name])
    clearly_better = accuracies[name].below(accuracies[other])
    as_fast = times[other].value <= times[name].value
    as_good = accuracies[other].value >= accuracies[name].value
    return (clearly_faster and as_good) or (clearly_better and as_fast)


def _clear_order(one: Known, other: Known) -> int:
    """-1 where the first is clearly smaller, 1 where it is clearly larger, else 0."""
    if one.below(other):
        return -1
    if other.below(one):
        return 1
    return 0


def _exceptions(names: Sequence[str], contradictions: set[tuple[str, str]]) -> tuple[str, ...]:
    """Who is taken out, the most contradictory first, until no two contradict each other."""
    left = set(contradictions)
    taken: list[str] = []
    while left:
        # Of several that contradict as often, the last in the first order.
        counts = {name: sum(name in pair for pair in left) for name in names}
        most = max(counts.values())
        worst = [name for name in names if counts[name] == most][-1]
        taken.append(worst)
        left = {pair for pair in left if worst not in pair}
    return tuple(name for name in names if name in taken)
