"""One cell in two runs: how many times faster the second was, and how sure that is.

Nothing is paired: the two runs met another machine, in time if not in place. Three things are done
about that, and each is in the interval or in a note:

- Times are compared **at equal delivered speed** where both runs have visits: the undisturbed ones,
  estimated with one best of the canary for both (``visits_between_runs.py``). A run with visits and
  one of launches have the time **as experienced** in common, and no more.
- Launches are compared within a state of the machine (the hop probe), and where its other probes
  moved beyond chance the interval is widened by as much at both ends.
- **Whole runs shift** by what no probe sees; the interval includes that (``run_shifts.py``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from deploybench.analysis.common_states import (
    machine_shift,
    names_of,
    states_of_both,
)
from deploybench.analysis.matching import hardware
from deploybench.analysis.run_shifts import shift_of_runs, thing_of
from deploybench.analysis.states import State
from deploybench.analysis.verdicts import judge_state
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.levels import same_state
from deploybench.statistics.ratios import Ratio, unpaired_ratio
from deploybench.statistics.samples import median
from deploybench.statistics.shift import ASSUMED_SHIFT, RunShift, assumed_shift, shifted

LAUNCH_MEDIANS = "launch medians"
UNDISTURBED = "undisturbed times"


@dataclass(frozen=True)
class Measured:
    """What one run found: a time, what it is worth, and from how many launches or visits."""

    p50_ms: float
    verdict: Verdict
    reason: str
    count: int


@dataclass(frozen=True)
class BetweenRuns:
    """Both runs in one state of the machine (``hop_ns``), and their ratio.

    ``machine_shift`` (log) is by how much an end of the interval was moved out because the probes
    moved, ``run_shift`` what it includes of the shift of whole runs. ``times`` says whose ratio it
    is.
    """

    hop_ns: float | None
    baseline: Measured
    candidate: Measured
    ratio: Ratio
    machine_shift: float
    run_shift: RunShift
    notes: tuple[str, ...]
    times: str = LAUNCH_MEDIANS


@dataclass(frozen=True)
class OtherRuns:
    """What tells by how much whole runs shift.

    ``given`` is the deviation of a run (a share: 0.03 for 3 %), where the user says it. None: it is
    estimated from ``records`` (other runs of the cells), or assumed where they are too few.
    """

    records: Sequence[Record] = ()
    given: float | None = None

    def of_the_things(self, *measured: Record) -> list[Record]:
        """Those of ``records`` that measured the same thing as any of these."""
        things = dict.fromkeys(thing_of(record) for record in measured)
        return [record for thing in things for record in self._by_thing.get(thing, ())]

    @cached_property
    def _by_thing(self) -> dict[object, list[Record]]:
        """Looked up for every cell: thousands of records are not read through for each of them."""
        by_thing: dict[object, list[Record]] = defaultdict(list)
        for record in self.records:
            by_thing[thing_of(record)].append(record)
        return by_thing


NO_OTHERS = OtherRuns()


def launches_between_runs(old: Record, new: Record, others: OtherRuns) -> list[BetweenRuns]:
    """One for each state that the launches of both runs were in, the one with most launches
    first."""
    before, after = states_of_both(old, new)
    found = []
    common = before.keys() & after.keys()
    for level in sorted(common, key=lambda level: -_fewest(before[level], after[level])):
        first, second = before[level].counted, after[level].counted
        ratio = unpaired_ratio(
            [launch.median_ms for launch in first], [launch.median_ms for launch in second]
        )
        if ratio is None:
            continue
        notes = []

        # The probes of unlike hardware differ because the hardware does.
        moved = 0.0
        if hardware(old) == hardware(new):
            probe, moved = machine_shift(first, second)
            if moved:
                words = f"{math.expm1(moved):.1%}"
                notes.append(f"the machine's {probe} probe moved {words} between the runs")
        if before.keys() != after.keys():
            sides = f"baseline {names_of(before)}, candidate {names_of(after)}"
            notes.append(f"states on one side only: {sides}")
        run_shift = _shift_of_launches(old, new, others, level)
        found.append(
            BetweenRuns(
                hop_ns=level,
                baseline=measured_in(before[level]),
                candidate=measured_in(after[level]),
                ratio=_moved_out(shifted(ratio, run_shift), moved),
                machine_shift=moved,
                run_shift=run_shift,
                notes=tuple(notes),
            )
        )
    return found


def _shift_of_launches(
    old: Record, new: Record, others: OtherRuns, level: float | None
) -> RunShift:
    def time_of(record: Record) -> float | None:
        if record.summary is None or record.visits:
            return None
        for state in record.summary.states:
            in_it = level is None or same_state(state.hop_ns, level)
            if in_it and state.judgement.verdict is Verdict.VALID:
                return state.p50_ms
        return None

    if others.given is not None:
        return assumed_shift(others.given)
    return shift_of_runs(old, new, others.of_the_things(old, new), time_of, assumed=ASSUMED_SHIFT)


def _fewest(first: State, second: State) -> int:
    return min(len(first.counted), len(second.counted))


def _moved_out(ratio: Ratio, shift: float) -> Ratio:
    """Both ends moved out by ``shift``, which is a log: there it would be added."""
    factor = math.exp(shift)
    return replace(ratio, low=ratio.low / factor, high=ratio.high * factor)


def measured_in(state: State) -> Measured:
    """What the launches of a state that count found."""
    judgement = judge_state(state)
    return Measured(
        p50_ms=median([launch.median_ms for launch in state.counted]),
        verdict=judgement.verdict,
        reason=judgement.reason,
        count=len(state.counted),
    )
