"""Two sets of records joined by cell: how many times faster the candidate is, in each state of the
machine.

A row is one cell in one state. Its ratio is paired by round when both records come from one run;
between runs it is the rank-sum one of the launches that count. The rank-sum interval knows how
launches of one run differ, not how the machine changed between the runs: where its own probes
(compute, memory) moved beyond chance, the interval is widened by as much on both sides.

What is unlike is refused, not compared: another batch, precision, number of threads, host or
version of this harness makes another measurement, unless the user says that this is the very
question.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum

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
from deploybench.analysis.speedups import paired_speedups
from deploybench.analysis.states import (
    State,
    hops_of,
    levels_of,
    nearest,
    probe_readings,
    states_of,
)
from deploybench.analysis.verdicts import judge_state
from deploybench.results.cell import Cell
from deploybench.results.launch import Launch
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
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL, median


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
    free = AXES[across.field] if across else ()
    rows: list[Comparison] = []
    for old, new in match(latest(baseline), latest(candidate), free):
        if old is None or new is None:
            status = Status.ONLY_CANDIDATE if old is None else Status.ONLY_BASELINE
            rows.append(Comparison(_side(old), _side(new), status, status.value))
        else:
            rows += _compare(old, new, allowed, free)
    return rows


def answer_of(row: Comparison, margin: float = DEFAULT_MARGIN) -> Answer | None:
    """The four-way answer; None for a row without a ratio. Between runs only VALID sides give one:
    there the pairing does not take away what disturbed one of them."""
    if row.ratio is None:
        return None
    return answer(row.ratio, margin) if _can_answer(row) else Answer.AMBIGUOUS


def _can_answer(row: Comparison) -> bool:
    paired = row.ratio is not None and row.ratio.paired
    return paired or all(
        side is not None and side.verdict is Verdict.VALID for side in (row.baseline, row.candidate)
    )


def width_that_answers(row: Comparison, margin: float = DEFAULT_MARGIN) -> float | None:
    """How narrow the interval of an AMBIGUOUS row must become; None for others, and where width is
    not the matter."""
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
    more = more_rounds(
        ratio.count, ratio.half_width - row.machine_shift, wanted - row.machine_shift
    )
    return max(more, 1) if more <= MOST_ROUNDS else None


def what_settles(row: Comparison, wanted: float) -> str:
    """The same in words."""
    more = rounds_to_settle(row, wanted)
    if more is not None:
        each = " of each run" if row.ratio is not None and not row.ratio.paired else ""
        return f"about {more} more round{'s' if more > 1 else ''}{each} would settle it"
    if row.machine_shift:
        return "measure both again, close in time: rounds do not take away that the machine moved"
    return "too close for any number of rounds"


def _compare(
    old: Record, new: Record, allowed: Collection[str], free: Collection[str]
) -> list[Comparison]:
    differing = {name: words for name, words in unlike(old, new).items() if name not in free}
    row = Comparison(
        _side(old), _side(new), Status.UNLIKE, notes=(*differing.values(), *changes(old, new))
    )
    refused = [name for name in differing if name not in allowed]
    if refused:
        words = ", ".join(differing[name] for name in refused)
        reason = f"unlike: {words}; --allow {','.join(refused)} compares them"
        if "host" in refused and hardware(old) == hardware(new):
            reason += "; the hardware is alike: a container keeps its name with --hostname NAME"
        return [replace(row, reason=reason, notes=())]
    without = [
        (name, side)
        for name, side in (("baseline", old), ("candidate", new))
        if side.summary is None
    ]
    if without:
        words = "; ".join(
            f"{name} {side.judgement.verdict.value}: {side.judgement.reason}"
            for name, side in without
        )
        return [replace(row, status=Status.NO_NUMBER, reason=words)]
    return _compare_states(row, old, new)


def _compare_states(row: Comparison, old: Record, new: Record) -> list[Comparison]:
    launches = [launch for record in (old, new) for launch in record.launches if launch.measured]
    levels = levels_of([hop for launch in launches for hop in hops_of(launch)])
    alike = hardware(old) == hardware(new)
    before, after = _states(old, levels, alike), _states(new, levels, alike)
    if old.run == new.run and old.host.hostname == new.host.hostname:
        rows = _paired(row, old, new, before, after)
    else:
        rows = _unpaired(row, old, new, before, after)
    seen = f"baseline {_names(before)}, candidate {_names(after)}"
    reason = f"the two were never in one state of the machine together: {seen}"
    return rows or [replace(row, status=Status.NO_COMMON_STATE, reason=reason)]


def _states(record: Record, levels: Sequence[float], alike: bool) -> dict[float | None, State]:
    """The record's states by the level of both records together.

    The hops of unlike hardware do not compare: there the state that was seen most stands for the
    machine.
    """
    found: dict[float | None, State] = {}
    for state in states_of(record.launches):
        if not alike:
            return {None: state}
        level = None if state.hop_ns is None else nearest(levels, state.hop_ns)
        known = found.get(level, State(level, (), ()))
        found[level] = State(level, known.launches + state.launches, known.counted + state.counted)
    return found


def _paired(
    row: Comparison,
    old: Record,
    new: Record,
    before: dict[float | None, State],
    after: dict[float | None, State],
) -> list[Comparison]:
    rows = []
    for speedup in paired_speedups(old.launches, new.launches):
        hop, ratio = speedup.hop_ns, speedup.ratio
        changed = (
            (f"{speedup.changed} rounds set aside: the machine changed state",)
            if speedup.changed
            else ()
        )
        disturbed = (
            (f"{speedup.disturbed} of {ratio.count} rounds were disturbed",)
            if speedup.disturbed
            else ()
        )
        rows.append(
            replace(
                row,
                status=Status.COMPARED,
                hop_ns=hop,
                ratio=ratio,
                notes=(*row.notes, *changed, *disturbed),
                baseline=_side(old, _nearest_state(before, hop)),
                candidate=_side(new, _nearest_state(after, hop)),
            )
        )
    return rows


def _unpaired(
    row: Comparison,
    old: Record,
    new: Record,
    before: dict[float | None, State],
    after: dict[float | None, State],
) -> list[Comparison]:
    rows = []
    alone = (f"states on one side only: baseline {_names(before)}, candidate {_names(after)}",)
    for level in sorted(
        before.keys() & after.keys(), key=lambda level: -_fewest(before[level], after[level])
    ):
        first, second = before[level].counted, after[level].counted
        ratio = unpaired_ratio(
            [launch.median_ms for launch in first], [launch.median_ms for launch in second]
        )
        if ratio is None:
            continue
        probe, shift = (
            _machine_shift(first, second) if hardware(old) == hardware(new) else ("", 0.0)
        )
        moved = (
            (f"the machine's {probe} probe moved {math.expm1(shift):.1%} between the runs",)
            if shift
            else ()
        )
        rows.append(
            replace(
                row,
                status=Status.COMPARED,
                hop_ns=level,
                machine_shift=shift,
                ratio=_widened(ratio, shift),
                baseline=_side(old, before[level]),
                candidate=_side(new, after[level]),
                notes=(*row.notes, *moved, *(alone if before.keys() != after.keys() else ())),
            )
        )
    return rows


def _fewest(first: State, second: State) -> int:
    return min(len(first.counted), len(second.counted))


def _nearest_state(states: dict[float | None, State], hop: float | None) -> State | None:
    """The state of a level; a cell of one thread has no hop probe, and one state."""
    levels = [level for level in states if level is not None]
    return states.get(nearest(levels, hop) if levels and hop is not None else None)


def _machine_shift(first: Sequence[Launch], second: Sequence[Launch]) -> tuple[str, float]:
    """The probe that moved most between two runs in one state, and by how much (log); ("", 0)
    within chance."""
    moved = [("", 0.0)]
    for name, field in (("compute", "compute_us"), ("memory", "memory_ms")):
        ratio = unpaired_ratio(probe_readings(first, field), probe_readings(second, field))
        if ratio is not None and ratio.coverage >= CONFIDENCE and not ratio.low <= 1 <= ratio.high:
            moved.append((name, abs(math.log(ratio.value))))
    return max(moved, key=lambda item: item[1])


def _widened(ratio: Ratio, shift: float) -> Ratio:
    return replace(ratio, low=ratio.low / math.exp(shift), high=ratio.high * math.exp(shift))


def _names(states: dict[float | None, State]) -> str:
    names = ["without a hop probe" if level is None else f"{level:.0f} ns" for level in states]
    return " and ".join(names) or "changed state during every launch"


def _side(record: Record | None, state: State | None = None) -> Side | None:
    if record is None:
        return None
    judgement = judge_state(state) if state else record.judgement
    return Side(
        run=record.run,
        cell=record.cell,
        verdict=judgement.verdict,
        reason=judgement.reason,
        p50_ms=median([launch.median_ms for launch in state.counted]) if state else None,
        launches=len(state.counted) if state else len(record.launches),
    )
