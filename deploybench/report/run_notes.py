"""Why a row is not plainly valid: its causes, which rows share, and its own words."""

from __future__ import annotations

from deploybench.report.figures import CAUSES
from deploybench.report.table import Note
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.statistics.ratios import Answer


def notes_of(row: Row) -> list[Note]:
    """A note a cause; none for a VALID row that is complete and settled."""
    notes = []
    if row.p50_ms is None and row.mixed_states_ms is not None:
        notes.append(Note("the machine changed speed during every launch", row.reason, row.advice))
    elif row.verdict in CAUSES:
        notes.append(Note(CAUSES[row.verdict], _reason(row), row.advice))
    elif row.verdict is not Verdict.VALID:
        # What failed or was refused differs from row to row: its reason is its cause.
        notes.append(Note(row.reason, advice=row.advice))
    if row.parity_weak:
        notes.append(Note("parity is weak on this model", f"weak parity: {row.parity_weak}"))
    if not row.complete:
        notes.append(Note("interrupted", f"interrupted after {row.launches} launches"))
    if row.more_rounds:
        detail = f"{row.stopped}: about {row.more_rounds} more rounds for the precision asked for"
        notes.append(Note("the precision asked for was not reached", detail))
    if row.speedup_answer is Answer.AMBIGUOUS:
        notes.append(Note("the speed-up is not settled", f"speed-up: {row.speedup_reason}"))
    return notes


def _reason(row: Row) -> str:
    """The reason with what can be relied on all the same, and with what counts nowhere."""
    parts = [row.reason]
    if row.speedup_verdict is Verdict.VALID:
        parts.append("the speed-up, paired by round, is VALID")
    if row.launches_flipped and row.p50_ms is not None:
        if row.launches_flipped == 1:
            parts.append("1 launch met a change of state and counts nowhere")
        else:
            parts.append(f"{row.launches_flipped} launches met a change of state and count nowhere")
    return "; ".join(parts)
