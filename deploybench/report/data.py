"""Reports for programs: JSON and CSV.

They hold figures with all their digits, never their wording. JSON escapes whatever is no plain
character; in CSV that is spelled out, and nothing is a formula.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from deploybench.inert import csv_cell
from deploybench.report.table import Report


def report_json(report: Report) -> str:
    """The report's data; that of its only table where it has no other."""
    data = report.data
    if data is None:
        entries: list[dict[str, object]] = []
        for table in report.tables:
            entries += [dict(entry) for entry in table.data]
        data = entries
    # The one control code that JSON leaves as it is.
    return json.dumps(data, indent=1, default=str).replace("\x7f", "\\u007f")


def report_csv(report: Report) -> str:
    """A header and a line for each entry of the tables.

    Where there are several tables the first column says which, and the header has the columns of
    all.
    """
    tables = [table for table in report.tables if table.data]
    entries: list[Mapping[str, object]] = []
    for table in tables:
        for entry in table.data:
            if len(tables) > 1:
                entries.append({"table": table.title, **entry})
            else:
                entries.append(entry)
    # The names of all entries, in the order in which they first come.
    names: dict[str, None] = {}
    for entry in entries:
        names |= dict.fromkeys(entry)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    if names:
        writer.writerow([csv_cell(name) for name in names])
    for entry in entries:
        writer.writerow([csv_cell(entry.get(name)) for name in names])
    return stream.getvalue()
