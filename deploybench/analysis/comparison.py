"""Two sets of records joined by cell: how many times faster the candidate is.

A row is one cell in one state. Its ratio is paired by round when both records come from one run;
what is done between runs says ``between_runs.py``.

What is unlike is refused, not compared: another batch, precision, number of threads, host or
version of this harness makes another measurement, unless the user says that this is what to
compare.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from deploybench.analysis.between_runs import (
    LAUNCH_MEDIANS,
    NO_OTHERS,
    UNDISTURBED,
    BetweenRuns,
    Measured,
    OtherRuns,
    launches_between_runs,
    measured_in,
)
from deploybench.analysis.common_states import names_of, state_at, states_of_both
from deploybench.analysis.matching import (
    AXES,
    Axis,
    changes,
    hardware,
    having,
    latest,
    match,
    refuse_the_same_run,
    unlike,
)
from deploybench.analysis.speedups import Speedup, paired_speedups, speedups_of
from deploybench.analysis.states import State
from deploybench.analysis.visit_verdicts import judge_visited_speedup
from deploybench.analysis.visits_between_runs import (
    estimated_with,
    experienced_between_runs,
    has_visits,
    hops_in_words,
    visits_between_runs,
)
from deploybench.plurals import counted, counted_of
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    MOST_ROUNDS,
    Answer,
    Ratio,
    answer,
    half_width_that_settles,
    more_rounds,
)
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL
from deploybench.statistics.shift import RunShift

VISITS = "visits"
MEASURE_TOGETHER = "measure both again, in one run (gate --rerun-baseline)"


class Status(str, Enum):
    """Whether a row has a ratio, and if not, why."""

    COMPARED = "compared"
    UNLIKE = "unlike"
    ONLY_BASELINE = "only in the baseline"
    ONLY_CANDIDATE = "only in the candidate"
    NO_NUMBER = "no number"
    NO_COMMON_STATE = "no common state"
    SAME_FILES = "the same files"


@dataclass(frozen=True)
class Side:
    """One side of a row.

    ``verdict``, ``p50_ms`` and ``launches`` are those of the row's state, where it has one.
    """

    run: str
    cell: Cell
    verdict: Verdict
    reason: str
    p50_ms: float | None
    launches: int


@dataclass(frozen=True)
class Comparison:
    """One cell in one state of the machine (``hop_ns`` names it).

    ``ratio`` is baseline time / candidate time: above 1 the candidate is faster. ``machine_shift``
    (log) is by how much an end of its interval was moved out because the machine's probes moved,
    ``run_shift`` what it includes of the shift of whole runs: None within one run. ``times`` says
    whose ratio it is. ``reason`` says why there is no ratio; ``notes`` hold what else differs.
    """

    baseline: Side | None
    candidate: Side | None
    status: Status
    reason: str = ""
    hop_ns: float | None = None
    ratio: Ratio | None = None
    machine_shift: float = 0.0
    run_shift: RunShift | None = None
    times: str = LAUNCH_MEDIANS
    notes: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the sides that there are, the baseline's first."""
        return tuple(side.cell for side in (self.baseline, self.candidate) if side is not None)


def compare_records(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    *,
    allowed: Collection[str] = (),
    across: Axis | None = None,
    others: OtherRuns = NO_OTHERS,
) -> list[Comparison]:
    """The rows of every cell of either side, in the baseline's order.

    Where a side has a cell twice, its latest record counts; the others tell, with those of
    ``others``, by how much whole runs shift. Raises DeployBenchError when a record is on both
    sides, or when no record has the value that ``across`` asks for.
    """
    others = replace(others, records=(*others.records, *baseline, *candidate))
    if across is None:
        refuse_the_same_run(baseline, candidate)
    else:
        baseline = having(baseline, across.field, across.baseline)
        candidate = having(candidate, across.field, across.candidate)
    free: Collection[str] = ()
    if across is not None:
        free = AXES[across.field]
    rows: list[Comparison] = []
    for old, new in match(latest(baseline), latest(candidate), free):
        if old is not None and new is not None:
            rows += compare_pair(old, new, allowed=allowed, free=free, others=others)
        elif old is not None:
            rows.append(_one_sided(_side(old), None, Status.ONLY_BASELINE))
        elif new is not None:
            rows.append(_one_sided(None, _side(new), Status.ONLY_CANDIDATE))
    return rows


def _one_sided(baseline: Side | None, candidate: Side | None, status: Status) -> Comparison:
    return Comparison(baseline, candidate, status, reason=status.value)


def answer_of(row: Comparison, margin: float = DEFAULT_MARGIN) -> Answer | None:
    """The four-way answer; None for a row without a ratio.

    Between runs only VALID sides give one: there the pairing does not take away what disturbed one
    of them.
    """
    if row.ratio is None:
        return None
    if not _can_answer(row):
        return Answer.AMBIGUOUS
    return answer(row.ratio, margin)


def _can_answer(row: Comparison) -> bool:
    if row.ratio is not None and row.ratio.paired:
        return True
    sides = (row.baseline, row.candidate)
    return all(side is not None and side.verdict is Verdict.VALID for side in sides)


def width_that_answers(row: Comparison, margin: float = DEFAULT_MARGIN) -> float | None:
    """How narrow the interval of an AMBIGUOUS row must become.

    None for rows that are not, and where width is not the matter.
    """
    if row.ratio is None or not _can_answer(row) or answer_of(row, margin) is not Answer.AMBIGUOUS:
        return None
    return half_width_that_settles(row.ratio, margin)


def rounds_to_settle(row: Comparison, wanted: float | None) -> int | None:
    """How many more rounds (of each run) would narrow the row's interval to ``wanted``.

    None where more than 1000 would be needed, or where the machine's own shift is already wider:
    rounds of these two runs cannot take that away.
    """
    ratio = row.ratio
    if ratio is None or wanted is None:
        return None
    if ratio.count < FEWEST_FOR_INTERVAL:
        return FEWEST_FOR_INTERVAL - ratio.count
    # Only what the runs themselves scatter goes down with more rounds. The shift of the machine is
    # a fixed part of both widths, and so is that of whole runs, which adds up as squares do.
    fixed = 0.0
    if row.run_shift is not None:
        fixed = row.run_shift.half_width
    if wanted - row.machine_shift <= fixed:
        return None
    scatter = math.sqrt(max((ratio.half_width - row.machine_shift) ** 2 - fixed**2, 0.0))
    wanted_scatter = math.sqrt((wanted - row.machine_shift) ** 2 - fixed**2)
    more = more_rounds(ratio.count, scatter, wanted_scatter)
    if more > MOST_ROUNDS:
        return None
    return max(more, 1)


def what_settles(row: Comparison, wanted: float) -> str:
    """The same in words."""
    more = rounds_to_settle(row, wanted)
    if more is not None:
        between_runs = row.ratio is not None and not row.ratio.paired
        if row.times == LAUNCH_MEDIANS:
            rounds = counted(more, "more round")
            of_each = " of each run" if between_runs else ""
            return f"about {rounds}{of_each} would settle it"
        # Visits take as long as the budget says: a number of rounds would be of fresh launches.
        visits = counted(more, "more visit")
        in_each = " in each run" if between_runs else ""
        return f"about {visits} of each cell{in_each} would settle it: a larger --budget"
    if row.machine_shift:
        return f"{MEASURE_TOGETHER}: rounds do not take away that the machine moved"
    if row.run_shift is not None and wanted <= row.run_shift.half_width:
        return f"{MEASURE_TOGETHER}: rounds do not take away that whole runs shift"
    return "too close for any number of rounds"


def compare_pair(
    old: Record,
    new: Record,
    *,
    allowed: Collection[str] = (),
    free: Collection[str] = (),
    others: OtherRuns = NO_OTHERS,
) -> list[Comparison]:
    """The rows of two records of one cell. What is in ``free`` may differ without being told."""
    # What differs, in words, by the name under which it may be allowed.
    differing = {name: text for name, text in unlike(old, new).items() if name not in free}
    row = Comparison(
        baseline=_side(old),
        candidate=_side(new),
        status=Status.UNLIKE,
        notes=(*differing.values(), *changes(old, new)),
    )
    refused = [name for name in differing if name not in allowed]
    if refused:
        differences = ", ".join(differing[name] for name in refused)
        reason = f"unlike: {differences}; --allow {','.join(refused)} compares them"
        if "host" in refused and hardware(old) == hardware(new):
            reason += "; the hardware is alike: a container keeps its name with --hostname NAME"
        return [replace(row, reason=reason, notes=())]

    reasons = []
    for name, record in (("baseline", old), ("candidate", new)):
        if record.summary is None:
            judgement = record.judgement
            reasons.append(f"{name} {judgement.verdict.value}: {judgement.reason}")
    if reasons:
        return [replace(row, status=Status.NO_NUMBER, reason="; ".join(reasons))]
    if old.run == new.run and old.host.hostname == new.host.hostname:
        paired = _paired_visits if old.visits or new.visits else _paired
        rows = paired(row, old, new)
    else:
        found = _found_between_runs(old, new, others)
        rows = [_between_runs(row, old, new, between) for between in found]
    if rows:
        return rows
    seen = _states_in_words(old, new)
    reason = f"the two were never in one state of the machine together: {seen}"
    return [replace(row, status=Status.NO_COMMON_STATE, reason=reason)]


def _states_in_words(old: Record, new: Record) -> str:
    if has_visits(old) and has_visits(new):
        return f"baseline {hops_in_words(old)}, candidate {hops_in_words(new)}"
    before, after = states_of_both(old, new)
    return f"baseline {names_of(before)}, candidate {names_of(after)}"


def _paired(row: Comparison, old: Record, new: Record) -> list[Comparison]:
    """A row for each state, both sides from one run: the ratio is paired by round."""
    before, after = states_of_both(old, new)
    rows = []
    for speedup in paired_speedups(old.launches, new.launches):
        notes = list(row.notes)
        if speedup.changed:
            rounds = counted(speedup.changed, "round")
            notes.append(f"{rounds} set aside: the machine changed state")
        if speedup.disturbed:
            rounds = counted_of(speedup.disturbed, speedup.ratio.count, "round")
            notes.append(f"{rounds} disturbed")
        compared = replace(
            row,
            status=Status.COMPARED,
            hop_ns=speedup.hop_ns,
            ratio=speedup.ratio,
            notes=tuple(notes),
            baseline=_side_in(old, state_at(before, speedup.hop_ns)),
            candidate=_side_in(new, state_at(after, speedup.hop_ns)),
        )
        rows.append(compared)
    return rows


def _paired_visits(row: Comparison, old: Record, new: Record) -> list[Comparison]:
    """A row for each state, of two cells of one run whose processes were visited."""
    return [_paired_visits_in(row, old, new, speedup) for speedup in speedups_of(old, new)]


def _paired_visits_in(row: Comparison, old: Record, new: Record, speedup: Speedup) -> Comparison:
    notes = row.notes
    judgement = judge_visited_speedup(speedup)
    if judgement.verdict is not Verdict.VALID:
        notes = (*notes, f"the ratio is {judgement.verdict.value}: {judgement.reason}")
    elif speedup.remark:
        notes = (*notes, speedup.remark)
    return replace(
        row,
        status=Status.COMPARED,
        hop_ns=speedup.hop_ns,
        ratio=speedup.ratio,
        times=UNDISTURBED if speedup.rests_on_undisturbed else VISITS,
        notes=notes,
        baseline=_visited_side(old, speedup.hop_ns),
        candidate=_visited_side(new, speedup.hop_ns),
    )


def _visited_side(record: Record, hop_ns: float | None) -> Side:
    """Of a record that was visited in that state of the machine."""
    state = estimated_with(record, None, hop_ns)
    assert state is not None
    return replace(_side(record), p50_ms=state.p50_ms, launches=state.launches)


def _found_between_runs(old: Record, new: Record, others: OtherRuns) -> list[BetweenRuns]:
    visited = [has_visits(record) for record in (old, new)]
    if all(visited):
        return visits_between_runs(old, new, others)
    if any(visited):
        return [experienced_between_runs(old, new, others)]
    return launches_between_runs(old, new, others)


def _between_runs(row: Comparison, old: Record, new: Record, found: BetweenRuns) -> Comparison:
    return replace(
        row,
        status=Status.COMPARED,
        hop_ns=found.hop_ns,
        machine_shift=found.machine_shift,
        run_shift=found.run_shift,
        times=found.times,
        ratio=found.ratio,
        baseline=_side_of(old, found.baseline),
        candidate=_side_of(new, found.candidate),
        notes=(*row.notes, *found.notes),
    )


def _side_of(record: Record, measured: Measured) -> Side:
    return Side(
        run=record.run,
        cell=record.cell,
        verdict=measured.verdict,
        reason=measured.reason,
        p50_ms=measured.p50_ms,
        launches=measured.count,
    )


def _side(record: Record) -> Side:
    """One side of a row that has no time of its own."""
    return Side(
        run=record.run,
        cell=record.cell,
        verdict=record.judgement.verdict,
        reason=record.judgement.reason,
        p50_ms=None,
        launches=len(record.launches),
    )


def _side_in(record: Record, state: State | None) -> Side:
    """One side of a row of that state of the machine."""
    if state is None:
        return _side(record)
    return _side_of(record, measured_in(state))
