"""The states of the machine, told apart by the hop probe, and which launches count in an estimate.

Virtual cores that share a cache one minute and do not the next make a machine with two speeds. The
hop probe's readings then lie around two levels (33 and 180 ns, 105 and 218 ns were seen). They are
split in two where that leaves the least variance of their logarithms, and the split holds when the
levels are 40 % apart and four times as far as the readings of one level scatter; each side is split
again. One estimate for two states would describe neither.

The rule for disturbed launches: a launch counts when the machine stayed in one state from its first
probe to its last, its samples settled, and other processes, the hypervisor and thermal throttling
took no more than their allowance. Where fewer than three launches of a state count, all that did
not change state do, and the verdict says why. Nothing is dropped from the record.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.analysis.disturbances import disturbances
from deploybench.results.launch import Launch
from deploybench.statistics.samples import median

Floats = npt.NDArray[np.float64]
FEWEST_LAUNCHES = 3
"""No single launch can know: each was within 2 % while launches a minute apart were 37 % apart."""
SAME_STATE = 1.4
"""Levels closer than 40 % are one state: one level's own readings scatter over up to that much."""
CLEAR_OF_SCATTER = 4.0
"""Of readings from one normal distribution the best split is 2.7 standard deviations wide, whatever
their number."""


@dataclass(frozen=True)
class State:
    """The launches of one state.

    ``counted`` make the estimate; ``hop_ns`` None: no hop probe here.
    """

    hop_ns: float | None
    launches: tuple[Launch, ...]
    counted: tuple[Launch, ...]


def levels_of(hops: Sequence[float]) -> list[float]:
    """The level (median) of each state among the readings, shortest hop first."""
    ordered = sorted(hops)
    logs = np.log(np.asarray(ordered, dtype=np.float64))
    edges = np.cumsum([0, *_sizes_of_levels(logs)])
    return [median(ordered[start:end]) for start, end in itertools.pairwise(edges)]


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


def same_state(first: float | None, second: float | None) -> bool:
    """Whether two levels of the hop are one state; without a probe there is one state only."""
    if first is None or second is None:
        return first is second
    return max(first, second) <= SAME_STATE * min(first, second)


def nearest(levels: Sequence[float], hop: float) -> float:
    """The level that a reading belongs to: the nearest by ratio."""
    return min(levels, key=lambda level: abs(math.log(hop / level)))


def level_of(levels: Sequence[float], hop_ns: float | None) -> float | None:
    """As :func:`nearest`; None where the probe did not run."""
    if hop_ns is None:
        return None
    return nearest(levels, hop_ns)


def _sizes_of_levels(ordered: Floats) -> list[int]:
    """How many of the sorted logarithms belong to each level, the lowest first.

    Split in two where that leaves the least variance, then each side again (binary segmentation;
    in one dimension a split into two groups is a cut of the sorted values, Fisher 1958).
    """
    count = len(ordered)
    if count == 0:
        return []
    if count == 1:
        return [1]

    # For every cut, the squared deviations of each side from its own mean: sum(x^2) - sum(x)^2 / n,
    # from running sums. The entry at 0 is of the cut after the first value.
    sums = np.cumsum(ordered)
    squares = np.cumsum(ordered**2)
    sizes = np.arange(1, count)
    below = squares[:-1] - sums[:-1] ** 2 / sizes
    above = squares[-1] - squares[:-1] - (sums[-1] - sums[:-1]) ** 2 / (count - sizes)
    deviations = below + above
    cut = int(np.argmin(deviations)) + 1
    low, high = ordered[:cut], ordered[cut:]

    # The split holds when the two levels lie far apart, as such and beside what is left of scatter:
    # the pooled standard deviation of both sides, which takes a mean from each.
    apart = float(np.median(high) - np.median(low))
    left_over = max(float(deviations[cut - 1]), 0.0)  # rounding can make it negative
    scatter = math.sqrt(left_over / max(count - 2, 1))
    if apart < math.log(SAME_STATE) or apart < CLEAR_OF_SCATTER * scatter:
        return [count]
    return [*_sizes_of_levels(low), *_sizes_of_levels(high)]
