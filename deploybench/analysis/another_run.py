"""Where another run of the same cell would land, which the interval of one run does not know.

What shifts a whole run is the same in all of its visits: measured again tomorrow, the cell lies
outside the interval of today more often than one time in twenty. This interval holds the next
run's time: it counts the errors of both runs, taken as alike, and the shift of both
(:mod:`deploybench.statistics.shift`): as much as the runs at hand differ by, or assumed where they
are fewer than four. The times of all of them are those at the best that the canary took in any.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.run_shifts import thing_of
from deploybench.analysis.visits_between_runs import (
    estimated_with,
    has_visits,
    least_best,
    visited_state,
)
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.statistics.shift import (
    ASSUMED_SHIFT,
    ASSUMED_SHIFT_UNDISTURBED,
    RunShift,
    assumed_shift,
    estimated_shift,
)


@dataclass(frozen=True)
class AnotherRun:
    """Where the p50 of another run lies with 95 %, in milliseconds.

    ``judgement`` is that of the record's own time at the best that any of the runs knew; ``again``
    says that this is another best than its own. Where it is not VALID any more there is no
    interval.
    """

    judgement: Judgement
    again: bool
    shift: RunShift | None = None
    low_ms: float | None = None
    high_ms: float | None = None


def another_run(record: Record, others: Sequence[Record]) -> AnotherRun | None:
    """Where another run would land; None where the record's own time is not known.

    ``others`` may hold any records: the runs of the same thing are looked for.
    """
    own = visited_state(record)
    if own is None or own.judgement.verdict is not Verdict.VALID:
        return None
    runs = _same_runs(record, others)
    best = least_best(runs)
    state = estimated_with(record, best, own.hop_ns)
    assert state is not None  # its own
    again = state is not own
    if state.judgement.verdict is not Verdict.VALID:
        return AnotherRun(state.judgement, again)

    # Of what is VALID there is an interval.
    assert state.p50_low_ms is not None
    assert state.p50_high_ms is not None
    times = []
    for run in runs:
        found = estimated_with(run, best, own.hop_ns)
        if found is not None and found.judgement.verdict is Verdict.VALID:
            times.append(found.p50_ms)
    usual = ASSUMED_SHIFT if record.canary is None else ASSUMED_SHIFT_UNDISTURBED
    shift = estimated_shift([times]) or assumed_shift(usual)
    below = math.log(state.p50_ms / state.p50_low_ms)
    above = math.log(state.p50_high_ms / state.p50_ms)
    # Either end has the error of this run on its side, and that of the other run on its other one.
    reach = math.hypot(below, above, shift.half_width)
    return AnotherRun(
        judgement=state.judgement,
        again=again,
        shift=shift,
        low_ms=state.p50_ms * math.exp(-reach),
        high_ms=state.p50_ms * math.exp(reach),
    )


def _same_runs(record: Record, others: Sequence[Record]) -> list[Record]:
    """The runs that measured the same thing against the same canary, the record's among them.

    Without a canary a time is as experienced, and with another thread budget its best is another.
    """
    runs: dict[str, Record] = {}
    for other in sorted(others, key=lambda other: other.created):
        alike = has_visits(other) and thing_of(other) == thing_of(record)
        if alike and _canary_threads(other) == _canary_threads(record):
            runs[other.run] = other  # a run counts once, with its latest record
    runs[record.run] = record
    return list(runs.values())


def _canary_threads(record: Record) -> int | None:
    return None if record.canary is None else record.canary.threads
