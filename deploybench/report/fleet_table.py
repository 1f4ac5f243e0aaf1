"""What ``deploybench fleet`` prints: the nodes, and the cells of each profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from deploybench.report.run_report import run_report
from deploybench.report.table import Column, Prose, Report, Table, table_of
from deploybench.results.record import Record


@dataclass(frozen=True)
class NodeRow:
    """A node: ``measuring`` is the ticket that it has now, or None."""

    node: str
    profile: str
    address: str
    measuring: str | None


COLUMNS = (
    Column[NodeRow]("node", "node", lambda row: row.node),
    Column[NodeRow]("profile", "profile", lambda row: row.profile),
    Column[NodeRow]("address", "address", lambda row: row.address),
    Column[NodeRow]("measuring", "measures", lambda row: row.measuring or "nothing", folds=True),
)


def nodes_report(rows: Sequence[NodeRow]) -> Report:
    """The nodes of a cluster; JSON holds the rows."""
    table = table_of(COLUMNS, rows, title="nodes of the fleet", data=asdict)
    return Report((table,), [asdict(row) for row in rows])


def cells_report(records: Sequence[Record], *, details: bool = False) -> Report:
    """The records of a fleet run, profile by profile: times of two machines are never compared in
    one table. JSON and CSV hold the rows of all."""
    profiles = list(dict.fromkeys(record.profile for record in records))
    sections: list[Table | Prose] = []
    data: list[object] = []
    for profile in profiles:
        of_profile = [record for record in records if record.profile == profile]
        report = run_report(of_profile, details=details)
        hosts = ", ".join(sorted({record.host.hostname for record in of_profile}))
        sections.append(Prose((f"profile {profile}, on {hosts}",)))
        sections += report.sections
        data += [row for table in report.tables for row in table.data]
    return Report(tuple(sections), data)
