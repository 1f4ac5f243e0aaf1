"""Verdicts with their reasons, and the command that repeats each row, as neutral tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from deploybench.pages.machines import Machine
from deploybench.pages.page import Folded
from deploybench.report.figures import VERDICT_STYLES
from deploybench.report.run_notes import notes_of
from deploybench.report.table import Column, Prose, Style, Table, table_of
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row

MEANINGS = {
    Verdict.VALID: "the figure and its interval can be relied on",
    Verdict.NOISY: "other work on the machine disturbed the measurement",
    Verdict.UNSTABLE: "too few measurements, or they do not agree closely enough",
    Verdict.DRIFTING: "the machine, or the cell itself, changed speed meanwhile",
    Verdict.INVALID: "it did not run as asked, or its answers are wrong: it has no speed",
    Verdict.FAILED: "it crashed, or did not come to an end",
    Verdict.SKIPPED: "it cannot run here, or nobody asked for it",
}


@dataclass(frozen=True)
class Reason:
    """One cause under one verdict, and the rows that it is about."""

    verdict: Verdict
    cause: str
    advice: str
    rows: tuple[Row, ...]


def verdict_blocks(machines: Sequence[Machine]) -> Iterator[Table]:
    rows = [entry.row for machine in machines for entry in machine.entries]
    counts = Counter(row.verdict for row in rows)
    yield table_of(
        (
            Column[Verdict]("verdict", "verdict", lambda one: one.value, style=_style),
            Column[Verdict]("rows", "rows", lambda verdict: str(counts[verdict]), number=True),
            Column[Verdict]("meaning", "what it says", lambda one: MEANINGS[one], folds=True),
        ),
        [verdict for verdict in Verdict if counts[verdict]],
    )
    reasons = _reasons(rows)
    if reasons:
        yield table_of(
            (
                Column[Reason]("verdict", "verdict", lambda one: one.verdict.value, style=_of),
                Column[Reason]("rows", "rows", lambda one: str(len(one.rows)), number=True),
                Column[Reason]("which", "which", _which, folds=True),
                Column[Reason]("cause", "why", lambda reason: reason.cause, folds=True),
                Column[Reason]("advice", "what to do", lambda one: one.advice, folds=True),
            ),
            reasons,
            title="Why",
        )


def commands_block(machines: Sequence[Machine]) -> Iterator[Folded | Prose]:
    """The command of each row; the longest table of a page, and at its end."""
    rows = []
    for machine in machines:
        for entry in machine.entries:
            if entry.row.main_state:
                rows.append((machine.name, entry.row))
    yield Prose(
        (
            "Each row of the comparison has its command behind its button: it measures that cell "
            "again, on that artifact, with the same settings.",
        )
    )
    table = table_of(
        (
            Column[tuple[str, Row]]("model", "model", lambda pair: pair[1].model),
            Column[tuple[str, Row]]("runner", "runner", lambda pair: pair[1].runner),
            Column[tuple[str, Row]]("machine", "machine", lambda pair: pair[0]),
            Column[tuple[str, Row]]("run", "run", lambda pair: pair[1].run),
            Column[tuple[str, Row]]("command", "command", lambda p: p[1].command, folds=True),
        ),
        rows,
    )
    yield Folded("All commands", table)


def _style(verdict: Verdict) -> Style:
    return VERDICT_STYLES[verdict]


def _of(reason: Reason) -> Style:
    return VERDICT_STYLES[reason.verdict]


def _reasons(rows: Sequence[Row]) -> list[Reason]:
    """Each cause once for each verdict: what concerns the most rows first."""
    found: dict[tuple[Verdict, str], list[tuple[Row, str, str]]] = {}
    for row in rows:
        for note in notes_of(row):
            place = (row.verdict, note.cause)
            found.setdefault(place, []).append((row, note.full, note.advice))
    reasons = []
    for (verdict, cause), members in found.items():
        details = {detail for _, detail, _ in members}
        advices = dict.fromkeys(advice for _, _, advice in members if advice)
        reasons.append(
            Reason(
                verdict=verdict,
                cause=details.pop() if len(details) == 1 else cause,
                advice=next(iter(advices), ""),
                rows=tuple(row for row, _, _ in members),
            )
        )
    return sorted(reasons, key=lambda reason: -len(reason.rows))


def _which(reason: Reason) -> str:
    names = list(dict.fromkeys(f"{row.model} on {row.runner}" for row in reason.rows))
    few = 3
    if len(names) > few:
        return f"{', '.join(names[:few])} and {len(names) - few} more"
    return ", ".join(names)
