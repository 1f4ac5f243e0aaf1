"""How many times faster one cell of a run is than another, in each state of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import flipped, hops_of, levels_of, nearest
from deploybench.results.launch import Launch
from deploybench.statistics.ratios import Ratio, paired_ratio
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL


@dataclass(frozen=True)
class Speedup:
    """Baseline / candidate in one state of the machine (``hop_ns``), paired by round.

    ``changed`` rounds met a change of state and count in no ratio. ``disturbed`` of the pairs that
    count had other work beside them; there are some only where fewer than six calm pairs exist.
    """

    hop_ns: float | None
    ratio: Ratio
    changed: int
    disturbed: int


def paired_speedups(baseline: Sequence[Launch], candidate: Sequence[Launch]) -> list[Speedup]:
    """The speed-up of the candidate in each state of the machine, the one with most rounds first.

    A ratio is of the launch medians of one round, both launches in the same state. Disturbed rounds
    are left out as long as six calm ones remain: other work slows two runtimes by different
    amounts.
    """
    first = {launch.round: launch for launch in baseline if launch.measured}
    second = {launch.round: launch for launch in candidate if launch.measured}
    rounds = sorted(first.keys() & second.keys())
    levels = levels_of(
        [hop for number in rounds for side in (first, second) for hop in hops_of(side[number])]
    )
    pairs: dict[float | None, list[tuple[Launch, Launch]]] = {}
    for number in rounds:
        pair = (first[number], second[number])
        seen = {nearest(levels, hop) for launch in pair for hop in hops_of(launch)}
        if len(seen) <= 1 and not any(flipped(launch, levels) for launch in pair):
            pairs.setdefault(next(iter(seen), None), []).append(pair)
    changed = len(rounds) - sum(map(len, pairs.values()))
    found = [_speedup(level, group, changed) for level, group in pairs.items()]
    return sorted(found, key=lambda speedup: -speedup.ratio.count)


def _speedup(level: float | None, pairs: Sequence[tuple[Launch, Launch]], changed: int) -> Speedup:
    calm = [pair for pair in pairs if not any(disturbances(launch) for launch in pair)]
    counted = calm if len(calm) >= FEWEST_FOR_INTERVAL else pairs
    ratio = paired_ratio([slow.median_ms / fast.median_ms for slow, fast in counted])
    assert ratio is not None  # there is a group only where there is a pair
    return Speedup(level, ratio, changed, 0 if counted is calm else len(pairs) - len(calm))
