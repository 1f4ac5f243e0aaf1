"""How many times faster one cell of a run is than another.

There is a speed-up in each state of the machine, paired by round.

Cells that were visited were so in every round, close in time: the logarithms of the ratios of their
medians, in order of time, tell the speed-up *as the machine was* (``statistics/dependence.py``).
Beside it stands the ratio of the two *undisturbed* times. Where both of these are known and the two
contradict each other, contention slows the two cells by different amounts: then the undisturbed one
is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import all_hops, flipped
from deploybench.analysis.visit_ratios import (
    Ends,
    paired_logs,
    ratio_of_medians,
    ratio_of_pairs,
    ratio_of_times,
    settled,
)
from deploybench.analysis.visit_states import visits_in
from deploybench.results.launch import Launch
from deploybench.results.record import Record, StateSummary
from deploybench.results.visit import Visit
from deploybench.statistics.dependence import Centre, centre_of_logs
from deploybench.statistics.levels import levels_of, nearest, same_state
from deploybench.statistics.ratios import Ratio, paired_ratio
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

MOST_ROUNDS_OF_VISITS = 2000
"""At 0.3 s a visit this is ten minutes of one cell: more of them settle nothing."""
Pair = tuple[Launch, Launch]
"""The baseline's launch and the candidate's in one round."""


@dataclass(frozen=True)
class Speedup:
    """Baseline / candidate in one state of the machine (``hop_ns``), paired by round.

    ``changed`` rounds met a change of state and count in no ratio. ``disturbed`` of the pairs that
    count had other work beside them; there are some only where fewer than six calm pairs exist.

    Of visits ``experienced`` is the ratio of the visits of one round, ``undisturbed`` that of the
    undisturbed times, where both were looked for: its coverage is 0 unless both are known.
    ``ratio`` is one of the two, or that of the medians of all visits. ``pairs`` is what
    ``experienced`` rests on, in logarithms; ``delivered`` the share of its speed that the machine
    gave on median; ``remark`` says where two of the figures differ beyond their intervals.
    """

    hop_ns: float | None
    ratio: Ratio
    changed: int
    disturbed: int
    experienced: Ratio | None = None
    undisturbed: Ratio | None = None
    pairs: Centre | None = None
    delivered: float | None = None
    remark: str = ""

    @property
    def rests_on_undisturbed(self) -> bool:
        """Whether ``ratio`` is that of the undisturbed times, because the visits contradict it."""
        return self.undisturbed is not None and self.ratio == self.undisturbed


def speedups_of(baseline: Record, candidate: Record) -> list[Speedup]:
    """The speed-up of the candidate over the baseline of the same run.

    One for each state of the machine that both were measured in: of launches the one with most
    rounds first, of visits in the order of the candidate's states; none where only the processes
    of one were visited.
    """
    if baseline.visits and candidate.visits:
        return visited_speedups(baseline, candidate)
    if baseline.visits or candidate.visits:
        return []
    return paired_speedups(baseline.launches, candidate.launches)


def visited_speedups(baseline: Record, candidate: Record) -> list[Speedup]:
    """The speed-ups by visits: of each state of the machine in which a round visited both."""
    speedups = []
    for after in _visited_states(candidate):
        for before in _visited_states(baseline):
            if same_state(before.hop_ns, after.hop_ns):
                speedup = _visited_speedup(baseline, candidate, before, after)
                speedups += [] if speedup is None else [speedup]
    return speedups


def _visited_speedup(
    baseline: Record, candidate: Record, before: StateSummary, after: StateSummary
) -> Speedup | None:
    """In the state of the machine that both estimates are of; None where no round visited both."""
    slow = visits_in(baseline.visits, before.hop_ns)
    fast = visits_in(candidate.visits, after.hop_ns)
    logs = paired_logs(slow, fast)
    if len(logs) == 0:
        return None
    # What the processes of either differ by is no part of a single ratio.
    error = math.hypot(_process_error(before), _process_error(after))
    pairs = centre_of_logs(logs).with_error(error)
    experienced = ratio_of_pairs(pairs, logs)
    undisturbed = _of_undisturbed(before, after)
    of_medians = ratio_of_medians(_median_of(slow), _median_of(fast))
    chosen = settled(experienced, undisturbed, of_medians)
    return Speedup(
        hop_ns=after.hop_ns,
        ratio=chosen.ratio,
        changed=0,
        disturbed=0,
        experienced=experienced,
        undisturbed=undisturbed,
        pairs=pairs,
        delivered=_least_delivered(before, after),
        remark=chosen.remark,
    )


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


def _visited_states(record: Record) -> list[StateSummary]:
    """The estimates of visits."""
    if record.summary is None:
        return []
    return [state for state in record.summary.states if state.visited is not None]


def _process_error(state: StateSummary) -> float:
    """The half-width of a logarithm's interval that follows from what processes differ by."""
    if state.visited is None:
        return 0.0
    return math.log1p(state.visited.process_error)


def _median_of(visits: Sequence[Visit]) -> Centre:
    """The logarithm of the time as experienced."""
    return centre_of_logs([math.log(visit.median_ns) for visit in visits if visit.count])


def _of_undisturbed(before: StateSummary, after: StateSummary) -> Ratio | None:
    """The ratio of the undisturbed times; None where one was not looked for or has no interval."""
    if before.visited is None or after.visited is None:
        return None
    if "no canary" in (before.visited.basis, after.visited.basis):
        return None
    slow, fast = _logs_of(before), _logs_of(after)
    if slow is None or fast is None:
        return None
    known = before.visited.known and after.visited.known
    counts = [item.calm_visits or item.visits for item in (before.visited, after.visited)]
    return ratio_of_times(slow, fast, known=known, count=min(counts))


def _logs_of(state: StateSummary) -> Ends | None:
    if state.p50_low_ms is None or state.p50_high_ms is None:
        return None
    return math.log(state.p50_low_ms), math.log(state.p50_ms), math.log(state.p50_high_ms)


def _least_delivered(*states: StateSummary) -> float | None:
    """The smaller of the shares of its speed that the machine delivered on median."""
    shares = []
    for state in states:
        if state.visited is not None:
            shares.append(state.visited.delivered_p50)
    return min((share for share in shares if share is not None), default=None)
