"""What ``tune`` prints: the answer, all configurations with Pareto's front, and why each lost."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.tuned import NotTried, Outcome, Tuned
from deploybench.report.advice_table import candidates_table
from deploybench.report.advice_words import cell_words
from deploybench.report.table import Column, Prose, Report, Style, Table, table_of
from deploybench.report.tune_text import WINNER, answer, asked_words, reason_words
from deploybench.rows.advice_row import advice_data, advice_rows

Line = tuple[str, str, Style]


def tune_report(tuned: Tuned) -> Report:
    """The outcome; JSON and CSV hold a row a configuration, and one for each that was not tried."""
    words = answer(tuned)
    sections: list[Table | Prose] = [
        Prose((words[0],), Style.STRONG),
        Prose((*words[1:], asked_words(tuned))),
        candidates_table(tuned.advice, ()),
        _lost(tuned),
    ]
    if tuned.notes:
        sections.append(Prose(tuned.notes, Style.FAINT, title="Of the images"))
    if tuned.bundle:
        sections.append(Prose((f"  {tuned.bundle}",), title="The bundle:", verbatim=True))
    elif tuned.no_bundle:
        sections.append(Prose((f"No bundle: {tuned.no_bundle}",), Style.DOUBTFUL))
    return Report(tuple(sections), _data(tuned, words[0]))


def _lost(tuned: Tuned) -> Table:
    """A line for each configuration that is not the best, the nearest first as in the table."""
    lines: list[Line] = []
    for outcome in _in_order(tuned):
        reason = reason_words(outcome, tuned)
        if reason != WINNER:
            name = cell_words(outcome.assessment.candidate, tuned.advice.choice.candidates)
            lines.append((name, reason, Style.PLAIN))
    for one in tuned.not_tried:
        style = Style.BAD if one.failed else Style.FAINT
        lines.append((one.title, one.reason, style))
    columns: Sequence[Column[Line]] = (
        Column("configuration", "configuration", lambda line: line[0], style=lambda line: line[2]),
        Column("reason", "why not", lambda line: line[1], folds=True),
    )
    return table_of(columns, lines, title="Why the others lost")


def _in_order(tuned: Tuned) -> list[Outcome]:
    """As the table of all configurations has them."""
    by_candidate = {id(one.assessment.candidate): one for one in tuned.outcomes}
    return [by_candidate[id(row.candidate)] for row in advice_rows(tuned.advice)]


def _data(tuned: Tuned, words: str) -> list[dict[str, object]]:
    by_candidate = {id(one.assessment.candidate): one for one in tuned.outcomes}
    entries: list[dict[str, object]] = []
    for row in advice_rows(tuned.advice):
        outcome = by_candidate[id(row.candidate)]
        ratio = None if outcome.beside is None else outcome.beside.ratio
        entry: dict[str, object] = {
            "tried": True,
            "why_not": reason_words(outcome, tuned),
            "best_is_times_faster": None if ratio is None else ratio.value,
            "best_is_times_faster_low": None if ratio is None else ratio.low,
            "best_is_times_faster_high": None if ratio is None else ratio.high,
            "rounds": outcome.rounds,
        }
        entries.append({**entry, **advice_data(row, tuned.advice, words, ())})
    return [*entries, *(_not_tried(one, entries) for one in tuned.not_tried)]


def _not_tried(one: NotTried, entries: Sequence[dict[str, object]]) -> dict[str, object]:
    """A row of the same columns for what was never measured."""
    empty: dict[str, object] = dict.fromkeys(entries[0]) if entries else {}
    return {**empty, "tried": False, "why_not": f"{one.title}: {one.reason}"}
