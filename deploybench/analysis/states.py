"""The states of the machine, told apart by the hop probe, and which launches count in an estimate.

Their levels are told apart in ``statistics/levels.py``. One estimate for two states would describe
neither.

The rule for disturbed launches: a launch counts when the machine stayed in one state from its first
probe to its last, its samples settled, and other processes, the hypervisor and thermal throttling
took no more than their allowance. Where fewer than three launches of a state count, all that did
not change state do, and the verdict says why. Nothing is dropped from the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.disturbances import disturbances
from deploybench.results.launch import Launch
from deploybench.statistics.levels import levels_of, nearest

FEWEST_LAUNCHES = 3
"""No single launch can know: each was within 2 % while launches a minute apart were 37 % apart."""


@dataclass(frozen=True)
class State:
    """The launches of one state.

    ``counted`` make the estimate; ``hop_ns`` None: no hop probe here.
    """

    hop_ns: float | None
    launches: tuple[Launch, ...]
    counted: tuple[Launch, ...]


def states_of(launches: Sequence[Launch]) -> list[State]:
    """The states that the measured launches were in, the one with most launches first.

    Flipped launches are in none.
    """
    measured = [launch for launch in launches if launch.measured]
    levels = levels_of(all_hops(measured))
    by_level: dict[float | None, list[Launch]] = {}
    for launch in measured:
        hops = hops_of(launch)
        probes_failed = bool(levels) and not hops  # of this launch: those of others did not
        if probes_failed or flipped(launch, levels):
            continue
        level = None
        if hops:
            level = nearest(levels, hops[0])
        by_level.setdefault(level, []).append(launch)
    states = [_state(level, group) for level, group in by_level.items()]
    return sorted(states, key=lambda state: -len(state.launches))


def _state(level: float | None, launches: Sequence[Launch]) -> State:
    """The calm launches count where there are enough of them, else all do."""
    counted = tuple(launch for launch in launches if not disturbances(launch))
    if len(counted) < FEWEST_LAUNCHES:
        counted = tuple(launches)
    return State(level, tuple(launches), counted)


def flipped(launch: Launch, levels: Sequence[float]) -> bool:
    """Whether the machine was not seen in one state before and after the launch.

    Either it changed, or one of the two probes failed.
    """
    hops = hops_of(launch)
    return len(hops) == 1 or len({nearest(levels, hop) for hop in hops}) > 1


def hops_of(launch: Launch) -> list[float]:
    """The launch's readings of the hop probe, before and after; as many as there are."""
    if launch.surroundings is None:
        return []
    return launch.surroundings.hops


def all_hops(launches: Sequence[Launch]) -> list[float]:
    """The readings of the hop probe of all launches."""
    return [hop for launch in launches for hop in hops_of(launch)]


def probe_readings(launches: Sequence[Launch], name: str) -> list[float]:
    """The mean of before and after of a probe, for each launch that has both.

    ``name`` is a field of ``Probes``.
    """
    means = []
    for launch in launches:
        if launch.surroundings is None:
            continue
        before = getattr(launch.surroundings.before, name)
        after = getattr(launch.surroundings.after, name)
        if before is not None and after is not None:
            means.append((before + after) / 2)
    return means
