"""What ``run`` and ``show`` print.

The answer, the table, the crossovers and, if asked for, the details.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from deploybench.analysis.answers import answers_of
from deploybench.analysis.crossover import crossovers
from deploybench.analysis.delivered import delivered_of
from deploybench.analysis.findings import contradicted_roofs, findings_of
from deploybench.analysis.ranking import rankings
from deploybench.report.answer_text import answer_sections
from deploybench.report.crossover_table import crossover_tables
from deploybench.report.delivered_text import delivered_lines
from deploybench.report.detail_tables import detail_sections
from deploybench.report.ranking_text import ranking_lines
from deploybench.report.run_table import run_table
from deploybench.report.table import Prose, Report, Table
from deploybench.rows.row import row_data
from deploybench.rows.rows import FAIR_FAMILY, row_of
from deploybench.statistics.ratios import DEFAULT_MARGIN

if TYPE_CHECKING:
    from deploybench.results.record import Record


def run_report(
    records: Sequence[Record],
    *,
    baseline: str | None = None,
    margin: float = DEFAULT_MARGIN,
    details: bool = False,
) -> Report:
    """The records of one or several runs; JSON and CSV hold the rows.

    ``baseline`` and ``margin`` as in :func:`deploybench.analysis.findings.findings_of`.
    """
    crossed = crossovers(records, FAIR_FAMILY, margin)
    findings = findings_of(records, baseline, margin, crossed)
    rows = [row_of(finding) for finding in findings]
    data = tuple(row_data(row) for row in rows)
    if not rows:
        return Report((), [])
    table = replace(run_table(rows, contradicted_roofs(findings)), data=data)
    sections: list[Table | Prose] = [
        *answer_sections(answers_of(records, baseline, margin), records),
        table,
    ]
    machine = delivered_lines(delivered_of(records))
    if machine:
        sections.append(Prose(tuple(machine)))
    sections += [
        Prose(tuple(ranking_lines(rankings(findings)))),
        *crossover_tables(crossed),
    ]
    if details:
        sections += detail_sections(rows)
    return Report(tuple(sections), list(data))
