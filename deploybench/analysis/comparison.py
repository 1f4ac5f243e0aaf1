"""Two sets of records joined by cell: how many times faster the candidate is.

A row is one cell in one state. Its ratio is paired by round when both records come from one run;
between runs it is the rank-sum one of the launches that count. The rank-sum interval knows how
launches of one run differ, not how the machine changed between the runs: where its own probes
(compute, memory) moved beyond chance, the interval is widened by as much on both sides.

What is unlike is refused, not compared: another batch, precision, number of threads, host or
version of this harness makes another measurement, unless the user says that this is what to
compare.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from deploybench.analysis.common_states import (
    StatesByLevel,
    machine_shift,
    names_of,
    state_at,
    states_by_level,
)
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
from deploybench.analysis.speedups import paired_speedups, speedups_of
from deploybench.analysis.states import (
    State,
    all_hops,
    levels_of,
)
from deploybench.analysis.verdicts import judge_state
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
    unpaired_ratio,
)
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL, median


class Status(str, Enum):
    """Whether a row has a ratio, and if not, why."""

    COMPARED = "compared"
    UNLIKE = "unlike"
    ONLY_BASELINE = "only in the baseline"
    ONLY_CANDIDATE = "only in the candidate"
    NO_NUMBER = "no number"
    NO_COMMON_STATE = "no common state"


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
    (log) is by how much an end of its interval was moved out because the machine's probes moved.
    ``reason`` says why there is no ratio; ``notes`` hold what else differs.
    """

    baseline: Side | None
    candidate: Side | None
    status: Status
    reason: str = ""
    hop_ns: float | None = None
    ratio: Ratio | None = None
    machine_shift: float = 0.0
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
) -> list[Comparison]:
    """The rows of every cell of either side, in the baseline's order.

    Where a side has a cell twice, its latest record counts. Raises DeployBenchError when a record
    is on both sides, or when no record has the value that ``across`` asks for.
    """
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
            rows += _compare(old, new, allowed, free)
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
    if wanted <= row.machine_shift:
        return None
    # Only what the launches themselves scatter goes down with more rounds: the shift of the machine
    # is a fixed part of both widths.
    scatter = ratio.half_width - row.machine_shift
    more = more_rounds(ratio.count, scatter, wanted - row.machine_shift)
    if more > MOST_ROUNDS:
        return None
    return max(more, 1)


def what_settles(row: Comparison, wanted: float) -> str:
    """The same in words."""
    more = rounds_to_settle(row, wanted)
    if more is not None:
        rounds = f"{more} more round"
        if more > 1:
            rounds += "s"
        if row.ratio is not None and not row.ratio.paired:
            rounds += " of each run"
        return f"about {rounds} would settle it"
    if row.machine_shift:
        return "measure both again, close in time: rounds do not take away that the machine moved"
    return "too close for any number of rounds"


def _compare(
    old: Record, new: Record, allowed: Collection[str], free: Collection[str]
) -> list[Comparison]:
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
    return _compare_states(row, old, new)


def _compare_states(row: Comparison, old: Record, new: Record) -> list[Comparison]:
    same_run = old.run == new.run and old.host.hostname == new.host.hostname
    if same_run and (old.visits or new.visits):
        return [_paired_visits(row, old, new)]
    # One set of levels for both records, so that a state has one name on both sides.
    measured = [launch for launch in (*old.launches, *new.launches) if launch.measured]
    levels = levels_of(all_hops(measured))
    alike = hardware(old) == hardware(new)
    before = states_by_level(old, levels, alike)
    after = states_by_level(new, levels, alike)
    if same_run:
        rows = _paired(row, old, new, before, after)
    else:
        rows = _unpaired(row, old, new, before, after)
    if rows:
        return rows
    seen = f"baseline {names_of(before)}, candidate {names_of(after)}"
    reason = f"the two were never in one state of the machine together: {seen}"
    return [replace(row, status=Status.NO_COMMON_STATE, reason=reason)]


def _paired(
    row: Comparison,
    old: Record,
    new: Record,
    before: StatesByLevel,
    after: StatesByLevel,
) -> list[Comparison]:
    """A row for each state, both sides from one run: the ratio is paired by round."""
    rows = []
    for speedup in paired_speedups(old.launches, new.launches):
        notes = list(row.notes)
        if speedup.changed:
            notes.append(f"{speedup.changed} rounds set aside: the machine changed state")
        if speedup.disturbed:
            notes.append(f"{speedup.disturbed} of {speedup.ratio.count} rounds were disturbed")
        compared = replace(
            row,
            status=Status.COMPARED,
            hop_ns=speedup.hop_ns,
            ratio=speedup.ratio,
            notes=tuple(notes),
            baseline=_side(old, state_at(before, speedup.hop_ns)),
            candidate=_side(new, state_at(after, speedup.hop_ns)),
        )
        rows.append(compared)
    return rows


def _paired_visits(row: Comparison, old: Record, new: Record) -> Comparison:
    """The row of two cells of one run whose processes were visited."""
    speedups = speedups_of(old, new)
    if not speedups:
        reason = "no round visited both"
        return replace(row, status=Status.NO_COMMON_STATE, reason=reason)
    speedup = speedups[0]
    notes = row.notes
    if speedup.remark:
        notes = (*notes, speedup.remark)
    return replace(
        row,
        status=Status.COMPARED,
        ratio=speedup.ratio,
        notes=notes,
        baseline=_visited_side(old),
        candidate=_visited_side(new),
    )


def _visited_side(record: Record) -> Side:
    side = _side(record)
    if record.summary is None or not record.summary.states:
        return side
    state = record.summary.states[0]
    return replace(side, p50_ms=state.p50_ms, launches=state.launches)


def _unpaired(
    row: Comparison,
    old: Record,
    new: Record,
    before: StatesByLevel,
    after: StatesByLevel,
) -> list[Comparison]:
    """A row for each state that both runs were in, the one with most launches first."""
    rows = []
    common = before.keys() & after.keys()
    for level in sorted(common, key=lambda level: -_fewest(before[level], after[level])):
        first, second = before[level].counted, after[level].counted
        ratio = unpaired_ratio(
            [launch.median_ms for launch in first], [launch.median_ms for launch in second]
        )
        if ratio is None:
            continue
        notes = list(row.notes)

        # The probes of unlike hardware differ because the hardware does.
        shift = 0.0
        if hardware(old) == hardware(new):
            probe, shift = machine_shift(first, second)
            if shift:
                moved = f"{math.expm1(shift):.1%}"
                notes.append(f"the machine's {probe} probe moved {moved} between the runs")
        if before.keys() != after.keys():
            sides = f"baseline {names_of(before)}, candidate {names_of(after)}"
            notes.append(f"states on one side only: {sides}")
        compared = replace(
            row,
            status=Status.COMPARED,
            hop_ns=level,
            machine_shift=shift,
            ratio=_widened(ratio, shift),
            baseline=_side(old, before[level]),
            candidate=_side(new, after[level]),
            notes=tuple(notes),
        )
        rows.append(compared)
    return rows


def _fewest(first: State, second: State) -> int:
    return min(len(first.counted), len(second.counted))


def _widened(ratio: Ratio, shift: float) -> Ratio:
    """Both ends moved out by ``shift``, which is a log: there it would be added."""
    factor = math.exp(shift)
    return replace(ratio, low=ratio.low / factor, high=ratio.high * factor)


def _side(record: Record, state: State | None = None) -> Side:
    """One side of a row: of the state where there is one, else of the whole record."""
    if state is None:
        return Side(
            run=record.run,
            cell=record.cell,
            verdict=record.judgement.verdict,
            reason=record.judgement.reason,
            p50_ms=None,
            launches=len(record.launches),
        )
    judgement = judge_state(state)
    return Side(
        run=record.run,
        cell=record.cell,
        verdict=judgement.verdict,
        reason=judgement.reason,
        p50_ms=median([launch.median_ms for launch in state.counted]),
        launches=len(state.counted),
    )
