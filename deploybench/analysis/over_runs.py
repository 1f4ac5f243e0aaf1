"""In which interval the time of a cell lies over whole runs, and not within one of them.

What shifts a whole run is the same in all of its visits, so the interval of a run does not know it:
measured again tomorrow, the same cell lies outside it more often than one time in twenty. This one
is wider by the shift of whole runs (:mod:`deploybench.statistics.shift`): as much as the runs at
hand differ by, or assumed where they are fewer than four. The times of all of them are those at
the best that the canary took in any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.run_shifts import thing_of
from deploybench.analysis.visits_between_runs import (
    estimated_with,
    has_visits,
    lesser_best,
    visited_state,
)
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.results.visit import CanaryBest
from deploybench.statistics.shift import (
    ASSUMED_SHIFT,
    ASSUMED_SHIFT_UNDISTURBED,
    RunShift,
    assumed_shift,
    estimated_shift,
)


@dataclass(frozen=True)
class OverRuns:
    """The undisturbed median of a cell over runs, in milliseconds, with its 95 % interval.

    ``again`` says that another run knew a better best of the canary, so that ``p50_ms`` is another
    one than that of the record.
    """

    p50_ms: float
    low_ms: float
    high_ms: float
    shift: RunShift
    again: bool


def over_runs(record: Record, others: Sequence[Record]) -> OverRuns | None:
    """The interval of a record's time over runs; None where the time itself is not known.

    ``others`` may hold any records: those of the same thing are looked for.
    """
    if not has_visits(record):
        return None
    thing = thing_of(record)
    runs: dict[str, Record] = {}
    for other in sorted(others, key=lambda other: other.created):
        if has_visits(other) and thing_of(other) == thing:
            runs[other.run] = other  # a run counts once, with its latest record
    runs[record.run] = record
    best = _best_of(list(runs.values()))

    state = estimated_with(record, best)
    if state.judgement.verdict is not Verdict.VALID:
        return None
    # Of what is VALID there is an interval.
    assert state.p50_low_ms is not None
    assert state.p50_high_ms is not None
    times = []
    for other in runs.values():
        found = estimated_with(other, best)
        if found.judgement.verdict is Verdict.VALID:
            times.append(found.p50_ms)
    usual = ASSUMED_SHIFT if record.canary is None else ASSUMED_SHIFT_UNDISTURBED
    shift = estimated_shift([times]) or assumed_shift(usual)

    # A shift's half width is that of the ratio of two runs; this is of one.
    own_shift = shift.half_width / math.sqrt(2)
    below = math.hypot(math.log(state.p50_ms / state.p50_low_ms), own_shift)
    above = math.hypot(math.log(state.p50_high_ms / state.p50_ms), own_shift)
    return OverRuns(
        p50_ms=state.p50_ms,
        low_ms=state.p50_ms * math.exp(-below),
        high_ms=state.p50_ms * math.exp(above),
        shift=shift,
        again=state is not visited_state(record),
    )


def _best_of(records: Sequence[Record]) -> CanaryBest | None:
    """The least of what the runs knew; None where one had no canary, or one of other threads."""
    known = [record.canary for record in records]
    best = known[0]
    for found in known[1:]:
        if best is None or found is None or best.threads != found.threads:
            return None
        best = lesser_best(best, found)
    return best
