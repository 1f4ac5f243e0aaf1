"""Two runs of a cell that was visited: compared at equal delivered speed, or as experienced.

The undisturbed time of a run is that at the best that the canary ever took on the host, as far as
the run knew it. Of two runs one may have known a better one, so both are estimated again with the
least of the two bests: a run that looked calm may then turn out not to have been, and is no longer
VALID. Bests of two hosts, or of two budgets of threads, have nothing in common: each run keeps its
own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

from deploybench.analysis.between_runs import (
    UNDISTURBED,
    BetweenRuns,
    Measured,
    OtherRuns,
)
from deploybench.analysis.matching import hardware
from deploybench.analysis.run_shifts import TimeOf, shift_of_runs
from deploybench.analysis.visited import states_of_visits
from deploybench.results.record import Record, StateSummary, Visited
from deploybench.results.verdict import Judgement, Verdict
from deploybench.results.visit import CanaryBest, lesser_known, together
from deploybench.statistics.levels import same_state
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import CONFIDENCE, median, median_interval
from deploybench.statistics.shift import (
    ASSUMED_SHIFT,
    ASSUMED_SHIFT_UNDISTURBED,
    RunShift,
    assumed_shift,
    shifted,
)

Interval = tuple[float | None, float | None]
BEST_MOVED = 1e-3
"""Bests closer than this are one: no estimate changes by as much as it says it may."""
EXPERIENCED = "times as experienced"


def has_visits(record: Record) -> bool:
    """Whether the record's estimate rests on visits."""
    return visited_state(record) is not None


def visited_state(record: Record) -> StateSummary | None:
    """The first estimate of a record that was visited; None of other records."""
    if record.summary is None or not record.summary.states:
        return None
    state = record.summary.states[0]
    if state.visited is None:
        return None
    return state


def visits_between_runs(old: Record, new: Record, others: OtherRuns) -> list[BetweenRuns]:
    """Both with visits: the undisturbed times in each state of the machine that both runs met, in
    the order of the new run's; or those as experienced where one had no canary.

    The hops of unlike hardware do not compare, and runs of before had none: there the first state
    of each stands for the machine.
    """
    best = common_best(old, new)
    before, after = states_with(old, best), states_with(new, best)
    if "no canary" in (_visited(before[0]).basis, _visited(after[0]).basis):
        return [experienced_between_runs(old, new, others)]
    pairs = [(before[0], after[0])]
    if hardware(old) == hardware(new) and before[0].hop_ns and after[0].hop_ns:
        pairs = [
            (first, second)
            for second in after
            for first in before
            if same_state(first.hop_ns, second.hop_ns)
        ]
    return [_in_a_state(old, new, first, second, best, others) for first, second in pairs]


def _in_a_state(
    old: Record,
    new: Record,
    before: StateSummary,
    after: StateSummary,
    best: CanaryBest | None,
    others: OtherRuns,
) -> BetweenRuns:
    notes = [_experienced_in_words(_visited(before), _visited(after))]
    notes += _best_in_words(old, new, best, after.hop_ns)

    def time_of(record: Record) -> float | None:
        if not has_visits(record):
            return None
        state = estimated_with(record, best, after.hop_ns)
        if state is None or state.judgement.verdict is not Verdict.VALID:
            return None
        return state.p50_ms

    ratio = _ratio(
        before.p50_ms,
        (before.p50_low_ms, before.p50_high_ms),
        after.p50_ms,
        (after.p50_low_ms, after.p50_high_ms),
        known=_visited(before).known and _visited(after).known,
        count=min(_visited(before).visits, _visited(after).visits),
    )
    run_shift = _shift(old, new, others, time_of, ASSUMED_SHIFT_UNDISTURBED)
    return BetweenRuns(
        hop_ns=after.hop_ns,
        baseline=_measured(before.p50_ms, before.judgement, before.launches),
        candidate=_measured(after.p50_ms, after.judgement, after.launches),
        ratio=shifted(ratio, run_shift),
        machine_shift=0.0,
        run_shift=run_shift,
        notes=tuple(notes),
        times=UNDISTURBED,
    )


def hops_in_words(record: Record) -> str:
    """The states of the machine that a record with visits met."""
    states = () if record.summary is None else record.summary.states
    hops = [f"{state.hop_ns:.0f} ns" for state in states if state.hop_ns is not None]
    return " and ".join(hops) or "without a hop probe"


def experienced_between_runs(old: Record, new: Record, others: OtherRuns) -> BetweenRuns:
    """The time that a user of the machine met: all that a run of launches has in common with one of
    visits, whatever the machine delivered."""
    before, after = _experienced(old), _experienced(new)
    ratio = _ratio(
        before[0],
        before[1],
        after[0],
        after[1],
        known=True,
        count=min(before[2], after[2]),
    )
    run_shift = _shift(old, new, others, _valid_experience, ASSUMED_SHIFT)
    notes = []
    if has_visits(old) != has_visits(new):
        side = "candidate" if has_visits(old) else "baseline"
        notes.append(f"as experienced: the {side} is of launches, and has no undisturbed time")
    return BetweenRuns(
        hop_ns=None,
        baseline=_measured(before[0], old.judgement, before[2]),
        candidate=_measured(after[0], new.judgement, after[2]),
        ratio=shifted(ratio, run_shift),
        machine_shift=0.0,
        run_shift=run_shift,
        notes=tuple(notes),
        times=EXPERIENCED,
    )


def common_best(old: Record, new: Record) -> CanaryBest | None:
    """The least of both runs' bests; None where they have nothing in common."""
    first, second = old.canary, new.canary
    if first is None or second is None or first.threads != second.threads:
        return None
    if old.host.hostname != new.host.hostname or old.host.cpu_model != new.host.cpu_model:
        return None
    return lesser_best(first, second)


def least_best(records: Sequence[Record]) -> CanaryBest | None:
    """The least of what runs with the same budget on one host knew; None of those without a
    canary."""
    known = [record.canary for record in records if record.canary is not None]
    if not known:
        return None
    return reduce(lesser_best, known)


def lesser_best(first: CanaryBest, second: CanaryBest) -> CanaryBest:
    """What two runs with the same budget on one host know together."""
    states = []
    left = list(second.states)
    for state in first.states:
        same = next((one for one in left if same_state(one.hop_ns, state.hop_ns)), None)
        if same is not None:
            left.remove(same)
            state = state.replaced(
                compute_us=min(state.compute_us, same.compute_us),
                memory_us=min(state.memory_us, same.memory_us),
                faults_us=lesser_known(state.faults_us, same.faults_us),
                runs=max(state.runs, same.runs),
            )
        states.append(state.replaced(of_this_run=None, second_us=None))
    return together([*states, *left])


def estimated_with(
    record: Record, best: CanaryBest | None, hop_ns: float | None = None
) -> StateSummary | None:
    """The estimate of a record that was visited, with that best of the canary; None: its own.

    In the state of the machine with that hop; the record's first one where none is named. None
    where the record has no such state.
    """
    states = states_with(record, best)
    if hop_ns is None:
        return states[0]
    return next((state for state in states if same_state(state.hop_ns, hop_ns)), None)


def states_with(record: Record, best: CanaryBest | None) -> Sequence[StateSummary]:
    """All estimates of a record that was visited, with that best of the canary; None: its own."""
    assert record.summary is not None  # of records that were visited
    own = record.canary
    if best is None or own is None or own.threads != best.threads or _moved(own, best) < BEST_MOVED:
        return record.summary.states
    launches = [launch for launch in record.launches if launch.measured]
    states = []
    for state in own.states:
        known = best.known_in(state.hop_ns)
        if known is not None:
            state = state.replaced(
                compute_us=known.compute_us, memory_us=known.memory_us, faults_us=known.faults_us
            )
        states.append(state)
    return states_of_visits(launches, record.visits, together(states), record.cell.batch)


def _moved(own: CanaryBest, best: CanaryBest) -> float:
    """By how much more than the best, as a share, a run's own best took: the most of any state."""
    moved = [0.0]
    for state in own.states:
        known = best.known_in(state.hop_ns)
        if known is not None:
            took_us = state.compute_us + state.memory_us
            moved.append(took_us / (known.compute_us + known.memory_us) - 1)
    return max(moved)


def _best_in_words(
    old: Record, new: Record, best: CanaryBest | None, hop_ns: float | None
) -> list[str]:
    if best is None:
        return []
    notes = []
    for name, record in (("baseline", old), ("candidate", new)):
        if record.canary is None:
            continue
        own = record.canary.in_state(hop_ns).replaced(others=())
        moved = _moved(own, best)
        if moved >= BEST_MOVED:
            notes.append(
                f"the {name} is estimated again: the canary's best of the other run is "
                f"{moved:.1%} faster than the one that it knew"
            )
    return notes


def _experienced_in_words(before: Visited, after: Visited) -> str:
    words = f"as experienced {before.experienced_p50_ms:.4g} → {after.experienced_p50_ms:.4g} ms"
    if before.delivered_p50 is not None and after.delivered_p50 is not None:
        words += (
            f", at {before.delivered_p50:.0%} → {after.delivered_p50:.0%} of the machine's speed"
        )
    return words


def _visited(state: StateSummary) -> Visited:
    assert state.visited is not None  # of records that were visited
    return state.visited


def _experienced(record: Record) -> tuple[float, Interval, int]:
    """The time in ms, its interval, and from how many visits or launches it is."""
    state = visited_state(record)
    if state is not None:
        visited = _visited(state)
        interval = (visited.experienced_low_ms, visited.experienced_high_ms)
        return visited.experienced_p50_ms, interval, visited.visits
    medians_ms = [launch.median_ms for launch in record.launches if launch.measured]
    found = median_interval(medians_ms)
    if found is None or found.coverage < CONFIDENCE:
        return median(medians_ms), (None, None), len(medians_ms)
    return median(medians_ms), (found.low, found.high), len(medians_ms)


def _valid_experience(record: Record) -> float | None:
    if record.summary is None or record.judgement.verdict is not Verdict.VALID:
        return None
    time_ms, _, _ = _experienced(record)
    return time_ms


def _shift(
    old: Record, new: Record, others: OtherRuns, time_of: TimeOf, assumed: float
) -> RunShift:
    if others.given is not None:
        return assumed_shift(others.given)
    return shift_of_runs(old, new, others.of_the_things(old, new), time_of, assumed=assumed)


def _measured(p50_ms: float, judgement: Judgement, count: int) -> Measured:
    return Measured(p50_ms, judgement.verdict, judgement.reason, count)


def _ratio(
    slow_ms: float,
    slow_interval: Interval,
    fast_ms: float,
    fast_interval: Interval,
    *,
    known: bool,
    count: int,
) -> Ratio:
    """The ratio of two times whose errors know nothing of each other; without an interval where one
    of them has none."""
    slow_low, slow_high = slow_interval
    fast_low, fast_high = fast_interval
    centre = math.log(slow_ms / fast_ms)
    if slow_low is None or slow_high is None or fast_low is None or fast_high is None:
        return Ratio(math.exp(centre), math.exp(centre), math.exp(centre), 0.0, count, paired=False)
    below = math.hypot(math.log(slow_ms / slow_low), math.log(fast_high / fast_ms))
    above = math.hypot(math.log(slow_high / slow_ms), math.log(fast_ms / fast_low))
    return Ratio(
        value=math.exp(centre),
        low=math.exp(centre - below),
        high=math.exp(centre + above),
        coverage=CONFIDENCE if known else 0.0,
        count=count,
        paired=False,
    )
