"""Where another run of a record's cell would land, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.another_run import another_run
from deploybench.plurals import counted
from deploybench.report.figures import four_digits
from deploybench.report.table import Prose
from deploybench.results.record import Record
from deploybench.statistics.shift import FEWEST_DEGREES

ENOUGH_RUNS = FEWEST_DEGREES + 1


def another_run_sections(record: Record, others: Sequence[Record]) -> list[Prose]:
    """Where another run would land; nothing where the record's own time is not known."""
    found = another_run(record, others)
    if found is None:
        return []
    if found.shift is None or found.low_ms is None or found.high_ms is None:
        judged = f"{found.judgement.verdict.value}: {found.judgement.reason}"
        words = (
            "another run of it saw this machine faster, and with what that one knew this time is "
        )
        return [Prose((words + judged,))]
    words = f"another run of it would take {four_digits(found.low_ms)} to "
    words += f"{four_digits(found.high_ms)} ms"
    if found.shift.runs:
        words += f"; {counted(found.shift.runs, 'run')} of it tell by how much a run shifts"
    else:
        words += f"; a run is assumed to shift by {found.shift.deviation:.1%}, "
        words += f"{ENOUGH_RUNS} VALID runs of it would tell"
    if found.again:
        words += "; at the best that the canary took in any of them"
    return [Prose((words,))]
