"""The tables of ``deploybench results``: the answer to a query, and a comparison in bulk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploybench.plurals import counted
from deploybench.report.figures import ANSWER_STYLES, four_digits
from deploybench.report.streamed import distinct
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of
from deploybench.statistics.ratios import Answer

if TYPE_CHECKING:
    from deploybench.archive.comparing import BulkComparison

Row = Sequence[Any]
Line = dict[str, Any]


def query_report(columns: Sequence[str], rows: Sequence[Row], more: bool) -> Report:
    """The rows of an answer; ``more`` says that there are others."""
    shown = [_column(name, place, rows) for place, name in enumerate(distinct(columns))]
    sections: list[Table | Prose] = [table_of(shown, rows)]
    if not rows:
        sections = [Prose(("no row answers to that",), Style.FAINT)]
    if more:
        words = f"the first {counted(len(rows), 'row')}: --limit shows more, --csv and --json all"
        sections.append(Prose((words,), Style.FAINT))
    return Report(tuple(sections))


def bulk_report(found: BulkComparison, lines: Sequence[Line], margin_words: str) -> Report:
    """The counts, then the cells of the largest change."""
    counts = [f"{counted(number, 'cell')} {status}" for status, number in found.statuses.items()]
    answers = [f"{number} {answer}" for answer, number in sorted(found.answers.items())]
    heading = [f"{', '.join(sorted(counts))}"]
    if answers:
        heading.append(f"the candidate is: {', '.join(answers)}")
    columns = (
        Column[Line]("title", "cell", lambda line: line["title"], folds=True),
        _text("weights", "weights", 4),
        _text("profile", "profile", 3),
        _number("baseline_p50_ms", "baseline", "ms"),
        _number("candidate_p50_ms", "candidate", "ms"),
        Column[Line]("speedup", "speed-up", lambda line: _three(line["speedup"]), number=True),
        Column[Line]("interval", "95 % interval", _interval, number=True, priority=2),
        Column[Line](
            "answer",
            "answer",
            lambda line: line["answer"] or line["status"],
            style=lambda line: (
                ANSWER_STYLES[Answer(line["answer"])] if line["answer"] else Style.FAINT
            ),
        ),
        Column[Line]("reason", "why", lambda line: line["reason"] or "", folds=True, priority=3),
    )
    legend = (
        "speed-up: baseline time / candidate time, above 1 the candidate is faster; intervals "
        f"include the shift of whole runs; SAME: the whole interval is within {margin_words} of 1. "
        "As deploybench compare has it, for cells that differ in nothing."
    )
    total = found.statuses.total()
    table = table_of(
        columns, lines, title="the largest changes" if len(lines) < total else "", legend=legend
    )
    return Report((Prose(tuple(heading), Style.STRONG), table))


def _column(name: str, place: int, rows: Sequence[Row]) -> Column[Row]:
    values = [row[place] for row in rows]
    numbers = all(isinstance(value, int | float) or value is None for value in values)
    return Column[Row](
        name,
        name,
        _shown_at(place),
        number=numbers,
        folds=not numbers,
        priority=1 + place,
    )


def _shown_at(place: int) -> Callable[[Row], str]:
    return lambda row: _shown(row[place])


def _shown(value: object) -> str:
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return four_digits(value)
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)


def _three(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _interval(line: Line) -> str:
    if line["speedup"] is None:
        return NOTHING
    return f"{line['speedup_low']:.3f}–{line['speedup_high']:.3f}"


def _number(key: str, title: str, unit: str) -> Column[Line]:
    return Column[Line](
        key, title, lambda line: four_digits(line[key]), unit=unit, number=True, priority=2
    )


def _text(key: str, title: str, priority: int) -> Column[Line]:
    return Column[Line](key, title, lambda line: line[key] or NOTHING, priority=priority)
