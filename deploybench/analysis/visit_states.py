"""The visits of a cell by the state of the machine, told by the hop before and after each.

In each state the calls have a time of their own: one estimate for two of them would describe
neither. A visit whose two readings are of two states is in none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.results.visit import Visit
from deploybench.statistics.adjust import FEWEST_CALM
from deploybench.statistics.levels import levels_of, nearest, same_state


@dataclass(frozen=True)
class VisitState:
    """The visits of one state, in order of time; ``hop_ns`` is None where no hop was read."""

    hop_ns: float | None
    visits: tuple[Visit, ...]


def visit_states(visits: Sequence[Visit]) -> list[VisitState]:
    """The states that the visits were made in, the one with most visits first.

    A state of so few visits that no time is known of them is left out, unless all are. There is one
    wherever there is a visit.
    """
    levels = levels_of([hop_ns for visit in visits for hop_ns in visit.hops_ns])
    if not levels:
        return [VisitState(None, tuple(visits))] if visits else []
    by_level: dict[float, list[Visit]] = {level: [] for level in levels}
    for visit in visits:
        seen = {nearest(levels, hop_ns) for hop_ns in visit.hops_ns}
        if len(seen) == 1:
            by_level[seen.pop()].append(visit)
    states = [VisitState(level, tuple(members)) for level, members in by_level.items() if members]
    if not states:
        # The machine changed during each of them: nobody can tell what they are times of.
        return [VisitState(None, tuple(visits))]
    states.sort(key=lambda state: -len(state.visits))
    told = [state for state in states if len(state.visits) >= FEWEST_CALM]
    return told or states[:1]


def visits_in(visits: Sequence[Visit], hop_ns: float | None) -> list[Visit]:
    """The visits that were made in that state; all of them where there is no hop."""
    if hop_ns is None:
        return list(visits)
    members = []
    for visit in visits:
        if visit.hops_ns and all(same_state(hop_ns, seen_ns) for seen_ns in visit.hops_ns):
            members.append(visit)
    return members
