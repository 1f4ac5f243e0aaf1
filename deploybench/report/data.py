"""Reports for programs: JSON and CSV.

They hold figures with all their digits, never their wording.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from deploybench.report.table import Report


def report_json(report: Report) -> str:
    """The report's data; that of its only table where it has no other."""
    data = report.data
    if data is None:
        entries: list[dict[str, object]] = []
        for table in report.tables:
            entries += [dict(entry) for entry in table.data]
        data = entries
    return json.dumps(data, indent=1, default=str)


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
    writer = csv.DictWriter(stream, list(names), lineterminator="\n")
    if names:
        writer.writeheader()
    for entry in entries:
        writer.writerow({name: _cell(value) for name, value in entry.items()})
    return stream.getvalue()


def _cell(value: object) -> object:
    """Lists in one cell with commas between, mappings as JSON."""
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return value
