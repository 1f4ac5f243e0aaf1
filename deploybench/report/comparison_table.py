"""The tables of ``compare`` and ``gate``.

They have the same rows, once with the four-way answer, once with the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from deploybench.analysis.between_runs import LAUNCH_MEDIANS
from deploybench.analysis.comparison import (
    Comparison,
    Side,
    Status,
    answer_of,
    rounds_to_settle,
    what_settles,
    width_that_answers,
)
from deploybench.analysis.gate import Check, Outcome, Slowdown, percent
from deploybench.analysis.matching import FIELDS
from deploybench.data.image_size import full_text, size_text
from deploybench.report.figures import ANSWER_STYLES, form, four_digits
from deploybench.report.table import NOTHING, Column, Note, Report, Style, Table, table_of
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.shift import RunShift

R = TypeVar("R")

OUTCOME_STYLES = {
    Outcome.PASS: Style.GOOD,
    Outcome.REGRESSION: Style.BAD,
    Outcome.INCONCLUSIVE: Style.DOUBTFUL,
    Outcome.SKIPPED: Style.FAINT,
}


def comparison_report(rows: Sequence[Comparison], margin: float) -> Report:
    """The rows with the speed-up and the answer to: is the candidate faster?"""
    legend = (
        f"speed-up: baseline time / candidate time of {_times(rows)}, above 1 the candidate is "
        f"faster; "
        f"{_interval(rows)} {_run_shift(rows)}SAME: the whole interval is within {percent(margin)} "
        f"of 1. {_hop(rows)}"
    )

    def answer_text(row: Comparison) -> str:
        answer = answer_of(row, margin)
        if answer is None:
            return NOTHING
        return answer.value

    def answer_style(row: Comparison) -> Style:
        answer = answer_of(row, margin)
        if answer is None:
            return Style.FAINT
        return ANSWER_STYLES[answer]

    columns = (
        *_shown(_comparison_columns(lambda row: row), rows),
        Column[Comparison](
            "speedup",
            "speed-up",
            lambda row: _centre(row.ratio),
            number=True,
        ),
        Column[Comparison](
            "interval",
            "95 % interval",
            lambda row: _ends(row.ratio),
            number=True,
            priority=2,
        ),
        Column[Comparison]("answer", "answer", answer_text, style=answer_style),
    )
    table = table_of(
        columns,
        rows,
        group=_title,
        name=_name,
        notes=lambda row: _comparison_notes(row, margin),
        legend=legend.strip(),
        data=lambda row: comparison_data(row, margin),
    )
    return Report((table,))


def gate_table(checks: Sequence[Check], largest: float) -> Table:
    """The rows with the slowdown and what the gate says of them."""
    rows = [check.row for check in checks]
    legend = (
        f"slowdown: candidate time / baseline time of {_times(rows)}; {_interval(rows)} "
        f"{_run_shift(rows)}PASS: the whole interval is at or below {1 + largest:.4g}; "
        f"REGRESSION: all of it is above. {_hop(rows)}"
    )
    columns = (
        *_shown(_comparison_columns(lambda check: check.row), checks),
        Column[Check](
            "slowdown",
            "slowdown",
            lambda check: _centre(check.slowdown),
            number=True,
        ),
        Column[Check](
            "interval",
            "95 % interval",
            lambda check: _ends(check.slowdown),
            number=True,
            priority=2,
        ),
        Column[Check](
            "gate",
            "gate",
            lambda check: check.outcome.value,
            style=lambda check: OUTCOME_STYLES[check.outcome],
        ),
    )
    return table_of(
        columns,
        checks,
        group=lambda check: _title(check.row),
        name=lambda check: _name(check.row),
        notes=_gate_notes,
        legend=legend.strip(),
        data=check_data,
    )


def comparison_data(row: Comparison, margin: float) -> dict[str, object]:
    """The row of ``compare --json``: flat, every unit in the name."""
    answer = answer_of(row, margin)
    data = _data(row)
    data["answer"] = None
    if answer is not None:
        data["answer"] = answer.value
    data["more_rounds"] = rounds_to_settle(row, width_that_answers(row, margin))
    return data


def check_data(check: Check) -> dict[str, object]:
    """The row of ``gate --json``."""
    data = _data(check.row) | dict.fromkeys(("slowdown", "slowdown_low", "slowdown_high"))
    slowdown = check.slowdown
    if slowdown is not None:
        data["slowdown"] = slowdown.value
        data["slowdown_low"] = slowdown.low
        data["slowdown_high"] = slowdown.high
    data["outcome"] = check.outcome.value
    data["outcome_reason"] = check.reason
    return data


def _comparison_columns(row_of: Callable[[R], Comparison]) -> tuple[Column[R], ...]:
    """What ``compare`` and ``gate`` have in common; their rows hold a comparison each."""

    def both(attribute: str) -> Callable[[R], str]:
        return lambda row: _both(row_of(row), attribute)

    return (
        Column("runner", "runner", both("runner")),
        Column("precision", "prec", both("precision")),
        Column("batch", "b", both("batch"), number=True),
        Column("threads", "thr", both("threads"), number=True, priority=3),
        Column("device", "device", both("device"), priority=2),
        Column("form", "form", both("form"), priority=2),
        Column("streams", "streams", both("streams"), number=True, priority=2),
        Column("timing", "times", both("timing"), priority=2),
        Column(
            "state_hop_ns",
            "hop",
            lambda row: form(row_of(row).hop_ns, "{:.0f}"),
            unit="ns",
            number=True,
            priority=3,
        ),
        Column(
            "baseline_p50_ms",
            "baseline",
            lambda row: _milliseconds(row_of(row).baseline),
            unit="ms",
            number=True,
            priority=2,
        ),
        Column(
            "candidate_p50_ms",
            "candidate",
            lambda row: _milliseconds(row_of(row).candidate),
            unit="ms",
            number=True,
            priority=2,
        ),
    )


def _shown(columns: Sequence[Column[R]], rows: Sequence[R]) -> list[Column[R]]:
    """Without the columns that are only there to tell rows apart, where they are all alike."""
    telling_apart = ("device", "form", "streams", "timing")
    shown = []
    for column in columns:
        texts = {column.show(row) for row in rows}
        if column.key not in telling_apart or len(texts) > 1:
            shown.append(column)
    return shown


def _comparison_notes(row: Comparison, margin: float) -> list[Note]:
    parts = []
    if row.reason:
        parts.append(row.reason)
    wanted = width_that_answers(row, margin)
    if wanted is not None:
        parts.append(what_settles(row, wanted))
    if row.status is Status.COMPARED:
        parts += _doubts(row)
    return _note_of([*parts, *row.notes, *_shift_note(row)])


def _gate_notes(check: Check) -> list[Note]:
    notes = [*check.row.notes, *_shift_note(check.row)]
    if check.outcome is Outcome.PASS:
        return _note_of(notes)
    return _note_of([check.reason, *notes])


def _note_of(parts: Sequence[str]) -> list[Note]:
    """One note of all parts; none where they say nothing."""
    text = "; ".join(parts)
    if not text:
        return []
    return [Note(text)]


def _doubts(row: Comparison) -> list[str]:
    """The verdict of each side that is not VALID."""
    doubts = []
    for name, side in (("baseline", row.baseline), ("candidate", row.candidate)):
        if side is not None and side.verdict is not Verdict.VALID:
            doubts.append(f"{name} {side.verdict.value}: {side.reason}")
    return doubts


def _name(row: Comparison) -> str:
    return f"{_both(row, 'model')} {_both(row, 'runner')}"


def _centre(ratio: Ratio | Slowdown | None) -> str:
    if ratio is None:
        return NOTHING
    return f"{ratio.value:.3f}"


def _ends(ratio: Ratio | Slowdown | None) -> str:
    """The two ends of its interval."""
    if ratio is None:
        return NOTHING
    return f"{ratio.low:.3f}–{ratio.high:.3f}"


def _title(row: Comparison) -> str:
    sizes = dict.fromkeys(full_text(cell.image_size, cell.patch_size) for cell in row.cells)
    parts = [_both(row, "model"), _both(row, "weights"), " → ".join(sizes)]
    return " · ".join(part for part in parts if part)


def _both(row: Comparison, name: str) -> str:
    """The field of both cells, once where it is the same."""
    values = [str(getattr(cell, name)) for cell in row.cells]
    return " → ".join(dict.fromkeys(values))


def _milliseconds(side: Side | None) -> str:
    if side is None:
        return NOTHING
    return four_digits(side.p50_ms)


def _times(rows: Sequence[Comparison]) -> str:
    """Whose ratios these are."""
    kinds = {row.times: None for row in rows if row.ratio is not None}
    return " or ".join(kinds) or LAUNCH_MEDIANS


def _interval(rows: Sequence[Comparison]) -> str:
    """By which tests the intervals were found."""
    tests: dict[str, None] = {}
    for row in rows:
        if row.ratio is None:
            continue
        test = "both intervals together"
        if row.times == LAUNCH_MEDIANS:
            test = "signed-rank" if row.ratio.paired else "rank-sum"
        how = "paired by round" if row.ratio.paired else "unpaired"
        if row.ratio.paired and row.times != LAUNCH_MEDIANS:
            test = "under dependence"
        tests[f"{how} ({test})"] = None
    if not tests:
        return "nothing was compared."
    return f"{' or '.join(tests)}."


def _run_shift(rows: Sequence[Comparison]) -> str:
    """What the intervals between runs include of the shift of whole runs, and where it is from."""
    assumed: dict[float, float] = {}
    estimated = 0
    for row in rows:
        if row.run_shift is None:
            continue
        if row.run_shift.runs:
            estimated += 1
        else:
            assumed[row.run_shift.deviation] = row.run_shift.half_width
    parts = []
    for deviation, half_width in sorted(assumed.items()):
        parts.append(
            f"whole runs are taken to shift by {percent(deviation)} (--run-shift), which is "
            f"±{percent(half_width)} of an interval"
        )
    if estimated:
        parts.append("by how much whole runs shift is estimated where a note says so")
    if not parts:
        return ""
    return f"Between runs: {'; '.join(parts)}. "


def _shift_note(row: Comparison) -> list[str]:
    """Where the shift of whole runs is estimated: by how much, and from how many."""
    shift = row.run_shift
    if shift is None or not shift.runs:
        return []
    return [
        f"whole runs of it shift by {percent(shift.deviation)} ({shift.runs} runs), which is "
        f"±{percent(shift.half_width)} of the interval"
    ]


def _hop(rows: Sequence[Comparison]) -> str:
    if all(row.hop_ns is None for row in rows):
        return ""
    return "hop ns: the state of the machine, named by the time of a byte from core to core."


def _data(row: Comparison) -> dict[str, object]:
    return {
        **_side_data("baseline", row.baseline),
        **_side_data("candidate", row.candidate),
        "status": row.status.value,
        "reason": row.reason,
        "notes": "; ".join(row.notes),
        "state_hop_ns": row.hop_ns,
        **_ratio_data(row.ratio),
        "times": row.times,
        "machine_shift_log": row.machine_shift,
        **_run_shift_data(row.run_shift),
    }


def _run_shift_data(shift: RunShift | None) -> dict[str, object]:
    if shift is None:
        return dict.fromkeys(("run_shift_log", "run_shift_runs"))
    return {"run_shift_log": shift.half_width, "run_shift_runs": shift.runs}


def _ratio_data(ratio: Ratio | None) -> dict[str, object]:
    if ratio is None:
        names = ("speedup", "speedup_low", "speedup_high", "speedup_coverage", "paired")
        return dict.fromkeys((*names, "launches_compared"))
    return {
        "speedup": ratio.value,
        "speedup_low": ratio.low,
        "speedup_high": ratio.high,
        "speedup_coverage": ratio.coverage,
        "paired": ratio.paired,
        "launches_compared": ratio.count,
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
