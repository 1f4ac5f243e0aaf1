"""The table of environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from deploybench.report.table import Column, Report, table_of


@dataclass(frozen=True)
class EnvironmentRow:
    """An environment: what it was made of, and the runners that work in it."""

    name: str
    python: str
    source: str
    runners: tuple[str, ...]
    size_bytes: int
    created: str


COLUMNS = (
    Column[EnvironmentRow]("name", "environment", lambda row: row.name),
    Column[EnvironmentRow]("python", "Python", lambda row: row.python),
    Column[EnvironmentRow](
        "size_bytes", "MiB", lambda row: f"{row.size_bytes / 2**20:.0f}", number=True
    ),
    Column[EnvironmentRow]("source", "made of", lambda row: row.source, folds=True),
    Column[EnvironmentRow](
        "runners", "runners that work", lambda row: ", ".join(row.runners) or "none", folds=True
    ),
)


def environments_report(rows: Sequence[EnvironmentRow]) -> Report:
    """The environments; JSON holds the rows."""
    table = table_of(COLUMNS, rows, title="environments", data=asdict)
    return Report((table,), [asdict(row) for row in rows])
