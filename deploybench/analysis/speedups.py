"""How many times faster one cell of a run is than another, in each state of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import all_hops, flipped, levels_of, nearest
from deploybench.results.launch import Launch
from deploybench.statistics.ratios import Ratio, paired_ratio
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

Pair = tuple[Launch, Launch]
"""The baseline's launch and the candidate's in one round."""


@dataclass(frozen=True)
class Speedup:
    """Baseline / candidate in one state of the machine (``hop_ns``), paired by round.

    ``changed`` rounds met a change of state and count in no ratio. ``disturbed`` of the pairs that
    count had other work beside them; there are some only where fewer than six calm pairs exist.
    Of visits ``experienced`` is the ratio of the visits of one round, ``undisturbed`` that of the
    undisturbed times; ``ratio`` is one of the two.
    """

    hop_ns: float | None
    ratio: Ratio
    changed: int
    disturbed: int
    experienced: Ratio | None = None
    undisturbed: Ratio | None = None


def paired_speedups(baseline: Sequence[Launch], candidate: Sequence[Launch]) -> list[Speedup]:
    """The speed-up of the candidate in each state of the machine, the one with most rounds first.

    A ratio is of the launch medians of one round, both launches in the same state. Disturbed rounds
    are left out as long as six calm ones remain: other work slows two runtimes by different
    amounts.
    """
    pairs = _pairs(baseline, candidate)
    levels = levels_of(all_hops([launch for pair in pairs for launch in pair]))

    # The pairs of each state; those that met a change of state are in none.
    by_level: dict[float | None, list[Pair]] = {}
    changed = 0
    for pair in pairs:
        if _changed_state(pair, levels):
            changed += 1
        else:
            by_level.setdefault(_level_of(pair, levels), []).append(pair)

    speedups = [_speedup(level, group, changed) for level, group in by_level.items()]
    return sorted(speedups, key=lambda speedup: -speedup.ratio.count)


def _pairs(baseline: Sequence[Launch], candidate: Sequence[Launch]) -> list[Pair]:
    """Both launches of every round that has both, in the order of the rounds."""
    baseline_by_round = {launch.round: launch for launch in baseline if launch.measured}
    candidate_by_round = {launch.round: launch for launch in candidate if launch.measured}
    rounds = sorted(baseline_by_round.keys() & candidate_by_round.keys())
    return [(baseline_by_round[number], candidate_by_round[number]) for number in rounds]


def _changed_state(pair: Pair, levels: Sequence[float]) -> bool:
    """Whether the machine changed state within a launch of the pair or between its launches."""
    if any(flipped(launch, levels) for launch in pair):
        return True
    return len({nearest(levels, hop) for hop in all_hops(pair)}) > 1


def _level_of(pair: Pair, levels: Sequence[float]) -> float | None:
    """The level of a pair that lies in one state; None where no hop probe ran."""
    hops = all_hops(pair)
    if not hops:
        return None
    return nearest(levels, hops[0])


def _speedup(level: float | None, pairs: Sequence[Pair], changed: int) -> Speedup:
    counted = [pair for pair in pairs if not any(disturbances(launch) for launch in pair)]
    disturbed = 0
    if len(counted) < FEWEST_FOR_INTERVAL:
        # too few calm pairs for an interval: all count, and the disturbed ones are told
        disturbed = len(pairs) - len(counted)
        counted = list(pairs)
    ratio = paired_ratio([slow.median_ms / fast.median_ms for slow, fast in counted])
    assert ratio is not None  # there is a group only where there is a pair
    return Speedup(level, ratio, changed, disturbed)
