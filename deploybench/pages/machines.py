"""The records of a page by the machine and the run that they are from.

Figures of two machines, or of two runs, are never put into one order: each machine has a table of
its own, and a chart shows one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.crossover import Crossover, crossovers
from deploybench.analysis.findings import Finding, contradicted_roofs, findings_of
from deploybench.results.record import Record
from deploybench.rows.row import Row
from deploybench.rows.rows import FAIR_FAMILY, row_of


@dataclass(frozen=True)
class Entry:
    """One line of the page: what was found, and the row that says it."""

    finding: Finding
    row: Row


@dataclass(frozen=True)
class Run:
    """One run on one machine."""

    machine: str
    name: str
    entries: tuple[Entry, ...]
    crossed: tuple[Crossover, ...]

    @property
    def findings(self) -> list[Finding]:
        return [entry.finding for entry in self.entries]


@dataclass(frozen=True)
class Machine:
    """One host under one profile: its name, a record that describes it, and its runs."""

    name: str
    example: Record
    records: tuple[Record, ...]
    runs: tuple[Run, ...]
    roofs: frozenset[tuple[str, str]]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Those of all runs, grouped by model as far as a run is."""
        entries = [entry for run in self.runs for entry in run.entries]
        models: dict[tuple[object, ...], int] = {}
        for entry in entries:
            models.setdefault(entry.row.job, len(models))
        return tuple(sorted(entries, key=lambda entry: models[entry.row.job]))


def machine_name(record: Record) -> str:
    """The host; with the profile that it was measured as, unless it describes itself."""
    if record.profile == "host":
        return record.host.hostname
    return f"{record.host.hostname} as {record.profile}"


def machines_of(records: Sequence[Record], baseline: str | None, margin: float) -> list[Machine]:
    """The machines in the order of the records; their runs, the newest first."""
    by_machine: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        runs = by_machine.setdefault(machine_name(record), {})
        runs.setdefault(record.run, []).append(record)
    machines = []
    for name, by_run in by_machine.items():
        newest_first = sorted(by_run, reverse=True)
        runs_found = [_run(name, run, by_run[run], baseline, margin) for run in newest_first]
        roofs = set()
        for run in runs_found:
            roofs |= contradicted_roofs(run.findings)
        machines.append(
            Machine(
                name=name,
                example=by_run[newest_first[0]][0],
                records=tuple(record for run in newest_first for record in by_run[run]),
                runs=tuple(runs_found),
                roofs=frozenset(roofs),
            )
        )
    return machines


def _run(
    machine: str, name: str, records: Sequence[Record], baseline: str | None, margin: float
) -> Run:
    crossed = crossovers(records, FAIR_FAMILY, margin)
    findings = findings_of(records, baseline, margin, crossed)
    entries = [Entry(finding, row_of(finding)) for finding in findings]
    return Run(machine, name, tuple(entries), tuple(crossed))


def view_name(run: Run, machines: int) -> str:
    """A run among others: with its machine, where there are several."""
    if machines > 1:
        return f"{run.machine}, {run.name}"
    return run.name
