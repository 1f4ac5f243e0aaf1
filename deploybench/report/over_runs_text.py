"""How far the time of one run reaches: its interval over whole runs, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.over_runs import over_runs
from deploybench.plurals import counted
from deploybench.report.figures import four_digits
from deploybench.report.table import Prose
from deploybench.results.record import Record

ENOUGH_RUNS = 4


def over_runs_sections(record: Record, others: Sequence[Record]) -> list[Prose]:
    """The interval of a record's time over runs; nothing where the time is not known."""
    found = over_runs(record, others)
    if found is None:
        return []
    low, high = four_digits(found.low_ms), four_digits(found.high_ms)
    words = f"over runs of this machine: {four_digits(found.p50_ms)} ms ({low} to {high})"
    if found.shift.runs:
        words += f"; {counted(found.shift.runs, 'run')} of it tell by how much a run shifts"
    else:
        words += f"; a run is assumed to shift by {found.shift.deviation:.1%}, "
        words += f"{ENOUGH_RUNS} runs of it would tell"
    if found.again:
        words += "; all at the best that the canary took in any of them"
    return [Prose((words,))]
