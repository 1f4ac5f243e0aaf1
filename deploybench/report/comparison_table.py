"""The tables of ``compare`` and ``gate``: the same rows, once with the four-way answer, once with
the outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploybench.analysis.comparison import (
    Comparison,
    Side,
    Status,
    answer_of,
    rounds_to_settle,
    what_settles,
    width_that_answers,
)
from deploybench.analysis.gate import Check, Outcome, percent
from deploybench.analysis.matching import FIELDS
from deploybench.data.image_size import size_text
from deploybench.report.sheet import Line, Sheet
from deploybench.results.cell import Cell
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Answer

NOTHING = "–"
WORDS = ("runner", "prec", "answer", "gate")
COLUMNS = ("runner", "prec", "b", "thr", "hop ns", "baseline ms", "candidate ms")
ANSWER_STYLES = {
    Answer.FASTER: "green",
    Answer.SLOWER: "red",
    Answer.SAME: "",
    Answer.AMBIGUOUS: "yellow",
}
OUTCOME_STYLES = {
    Outcome.PASS: "green",
    Outcome.REGRESSION: "bold red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.SKIPPED: "dim",
}


def comparison_sheet(rows: Sequence[Comparison], margin: float) -> Sheet:
    """The rows with the speed-up and the answer to: is the candidate faster?"""
    lines = tuple(_comparison_line(row, margin) for row in rows)
    legend = (
        f"speed-up: baseline time / candidate time of launch medians, above 1 the candidate is "
        f"faster; "
        f"{_interval(rows)} SAME: the whole interval is within {percent(margin)} of 1. {_hop(rows)}"
    )
    return Sheet((*COLUMNS, "speed-up", "95 % interval", "answer"), WORDS, lines, legend.strip())


def gate_sheet(checks: Sequence[Check], largest: float) -> Sheet:
    """The rows with the slowdown and what the gate says of them."""
    rows = [check.row for check in checks]
    legend = (
        f"slowdown: candidate time / baseline time of launch medians; {_interval(rows)} "
        f"PASS: the whole interval is at or below {1 + largest:.4g}; REGRESSION: all of it is "
        f"above. {_hop(rows)}"
    )
    columns = (*COLUMNS, "slowdown", "95 % interval", "gate")
    return Sheet(columns, WORDS, tuple(map(_gate_line, checks)), legend.strip())


def comparison_data(row: Comparison, margin: float) -> dict[str, object]:
    """The row of ``compare --json``: flat, every unit in the name."""
    found, more = answer_of(row, margin), rounds_to_settle(row, width_that_answers(row, margin))
    return {**_data(row), "answer": found.value if found else None, "more_rounds": more}


def check_data(check: Check) -> dict[str, object]:
    """The row of ``gate --json``."""
    found = check.slowdown
    return {
        **_data(check.row),
        "slowdown": found.value if found else None,
        "slowdown_low": found.low if found else None,
        "slowdown_high": found.high if found else None,
        "outcome": check.outcome.value,
        "outcome_reason": check.reason,
    }


def _comparison_line(row: Comparison, margin: float) -> Line:
    found, ratio = answer_of(row, margin), row.ratio
    notes = [row.reason] if row.reason else []
    wanted = width_that_answers(row, margin)
    if wanted is not None:
        notes.append(what_settles(row, wanted))
    if row.status is Status.COMPARED:
        notes += _doubts(row)
    numbers = (
        (f"{ratio.value:.3f}", f"{ratio.low:.3f}–{ratio.high:.3f}") if ratio else (NOTHING, NOTHING)
    )
    return Line(
        group=_title(row),
        name=f"{_both(row, 'model')} {_both(row, 'runner')}",
        cells=(*_cells(row), *numbers, found.value if found else NOTHING),
        style=ANSWER_STYLES[found] if found else "dim",
        note="; ".join([*notes, *row.notes]),
    )


def _gate_line(check: Check) -> Line:
    found = check.slowdown
    numbers = (
        (f"{found.value:.3f}", f"{found.low:.3f}–{found.high:.3f}") if found else (NOTHING, NOTHING)
    )
    why = [] if check.outcome is Outcome.PASS else [check.reason]
    return Line(
        group=_title(check.row),
        name=f"{_both(check.row, 'model')} {_both(check.row, 'runner')}",
        cells=(*_cells(check.row), *numbers, check.outcome.value),
        style=OUTCOME_STYLES[check.outcome],
        note="; ".join([*why, *check.row.notes]),
    )


def _doubts(row: Comparison) -> list[str]:
    """The verdict of each side that is not VALID."""
    sides = (("baseline", row.baseline), ("candidate", row.candidate))
    return [
        f"{name} {side.verdict.value}: {side.reason}"
        for name, side in sides
        if side and side.verdict is not Verdict.VALID
    ]


def _cells(row: Comparison) -> tuple[str, ...]:
    return (
        _both(row, "runner"),
        _both(row, "precision"),
        _both(row, "batch"),
        _both(row, "threads"),
        NOTHING if row.hop_ns is None else f"{row.hop_ns:.0f}",
        _milliseconds(row.baseline),
        _milliseconds(row.candidate),
    )


def _title(row: Comparison) -> str:
    sizes = dict.fromkeys(_size(cell) for cell in row.cells)
    return " · ".join(
        part for part in (_both(row, "model"), _both(row, "weights"), " → ".join(sizes)) if part
    )


def _size(cell: Cell) -> str:
    pixels = size_text(cell.image_size)
    return f"{pixels}/{cell.patch_size}" if cell.patch_size else pixels


def _both(row: Comparison, name: str) -> str:
    """The field of both cells, once where it is the same."""
    return " → ".join(dict.fromkeys(str(getattr(cell, name)) for cell in row.cells))


def _milliseconds(side: Side | None) -> str:
    """Four digits, as far as there are that many before the point."""
    if side is None or side.p50_ms is None:
        return NOTHING
    return f"{side.p50_ms:.{max(3 - math.floor(math.log10(side.p50_ms)), 0)}f}"


def _interval(rows: Sequence[Comparison]) -> str:
    kinds = {row.ratio.paired for row in rows if row.ratio is not None}
    tests = {True: "paired by round (signed-rank)", False: "unpaired (rank-sum)"}
    return (
        f"{' or '.join(tests[kind] for kind in sorted(kinds))}."
        if kinds
        else "nothing was compared."
    )


def _hop(rows: Sequence[Comparison]) -> str:
    if all(row.hop_ns is None for row in rows):
        return ""
    return "hop ns: the state of the machine, named by the time of a byte from core to core."


def _data(row: Comparison) -> dict[str, object]:
    ratio = row.ratio
    return {
        **_side_data("baseline", row.baseline),
        **_side_data("candidate", row.candidate),
        "status": row.status.value,
        "reason": row.reason,
        "notes": "; ".join(row.notes),
        "state_hop_ns": row.hop_ns,
        "speedup": ratio.value if ratio else None,
        "speedup_low": ratio.low if ratio else None,
        "speedup_high": ratio.high if ratio else None,
        "speedup_coverage": ratio.coverage if ratio else None,
        "paired": ratio.paired if ratio else None,
        "launches_compared": ratio.count if ratio else None,
        "machine_shift_log": row.machine_shift,
    }


def _side_data(prefix: str, side: Side | None) -> dict[str, object]:
    names = ["run", *FIELDS, "verdict", "reason", "p50_ms", "launches"]
    if side is None:
        return {f"{prefix}_{name}": None for name in names}
    values = {name: getattr(side.cell, attribute) for name, attribute in FIELDS.items()}
    values |= {
        "image": size_text(side.cell.image_size),
        "run": side.run,
        "verdict": side.verdict.value,
    }
    values |= {"reason": side.reason, "p50_ms": side.p50_ms, "launches": side.launches}
    return {f"{prefix}_{name}": values[name] for name in names}
