"""Successive halving: who is looked at again, and for how long. Pure: what a look shows is told.

Every look gives each of those that are left equal time, side by side. Then the worse half goes, but
never one that is not clearly worse than the best: the intervals decide, not the order. So the
true best goes only where an interval was wrong, and the time goes to those that are hard to tell
apart (Karnin, Koren and Somekh 2013, without the fixed half).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

LEAST_EACH_S = 4.0
"""Of a configuration in a look: a process starts, and there are some visits."""
MOST_LOOKS = 12
"""Looks may end early, where everything is known as narrowly as it gets: two that stay hard to tell
apart are not looked at for ever."""
FEW = 4
"""So many can be looked at closely; of more at least the two best are looked at once more."""


@dataclass(frozen=True)
class Look:
    """What one look showed: who is still in the race, the best first.

    ``worse`` are clearly worse than the first that is known to be allowed, ``same`` are the same as
    it. ``told`` are better by their figure, and what is not known of them is no matter of time: no
    look would tell more. Who is not in ``order`` is out. ``spent_s`` is what the look took.
    """

    order: tuple[str, ...]
    worse: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()
    spent_s: float = 0.0


@dataclass
class Halved:
    """How it ended: the last look, and how many there were. ``settled``: more time would tell
    nothing that is asked."""

    last: Look
    looks: int
    spent_s: float
    settled: bool
    gone: dict[str, int] = field(default_factory=dict)
    """In which look (from 0) each of those that are gone was last seen."""


def looks_ahead(count: int) -> int:
    """How many looks halve so many down to one."""
    return max(math.ceil(math.log2(max(count, 2))), 1)


def seconds_each(left_s: float, count: int, more: int = 0) -> float:
    """What a look gives each of ``count``, where it is to leave as much for each later one, and for
    so many ``more`` looks at who may join."""
    return left_s / (looks_ahead(count) + more) / max(count, 1)


def least_budget_s(count: int) -> float:
    """What one look at so many takes at least."""
    return count * LEAST_EACH_S


def survivors(seen: Look, looked_at: int) -> list[str]:
    """Who is looked at again: the better half, and of the others those not clearly worse.

    After a look at many at least two go on, so that the best has one to be told apart from.
    """
    half = math.ceil(len(seen.order) / 2)
    if looked_at > FEW:
        half = max(half, 2)
    kept = []
    for place, name in enumerate(seen.order):
        if place < half or name not in seen.worse:
            kept.append(name)
    return kept


def is_settled(seen: Look, kept: Sequence[str], looked_at: int) -> bool:
    """Whether nothing is left to tell apart: one is left, or all others are worse or the same."""
    if looked_at > FEW:
        return len(kept) < 2
    told = seen.worse | seen.same | seen.told
    rest = [name for name in kept if name not in told]
    return len(rest) <= 1


def halve(
    names: Sequence[str],
    budget_s: float,
    look: Callable[[int, Sequence[str], float], Look | None],
    widen: Callable[[int, Sequence[str]], Collection[str]] | None = None,
    time_left: Callable[[], float] = lambda: math.inf,
) -> Halved:
    """Look, halve and look again until it is settled or the budget is spent.

    ``look`` is given the number of the look, who is looked at and the seconds for each; None from
    it: the time was over before anything was seen, so nothing is known beyond the look before.
    ``widen`` says after a look who joins those that were kept. What that takes is in no look:
    ``time_left`` tells the seconds until the deadline, and no look is planned beyond it.
    """
    alive = list(names)
    last = Look(())
    spent_s = 0.0
    gone: dict[str, int] = {}
    number = 0
    while True:
        # The options of the first ones that lead are looked at after the first look.
        more = 1 if widen is not None and number == 0 else 0
        left_s = min(budget_s - spent_s, time_left())
        each_s = max(seconds_each(left_s, len(alive), more), LEAST_EACH_S)
        seen = look(number, alive, each_s)
        if seen is None:
            return Halved(last, number, spent_s, settled=False, gone=gone)
        last = seen
        spent_s += seen.spent_s
        kept = survivors(seen, len(alive))
        gone |= {name: number for name in alive if name not in kept}
        joining: list[str] = []
        if widen is not None:
            joining = [name for name in widen(number, kept) if name not in kept]
        settled = not joining and is_settled(seen, kept, len(alive))
        number += 1
        left_s = min(budget_s - spent_s, time_left())
        enough = left_s >= least_budget_s(len(kept) + len(joining))
        if not enough and joining:
            # The options can be left out; those that were kept may still be told apart.
            joining = []
            settled = is_settled(seen, kept, len(alive))
            enough = left_s >= least_budget_s(len(kept))
        if settled or not kept or not enough or number >= MOST_LOOKS:
            return Halved(seen, number, spent_s, settled, gone)
        alive = [*kept, *joining]
