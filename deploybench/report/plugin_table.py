"""The table of plug-ins: which exporters and runners there are, and whether they work here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from deploybench.contracts import Exporter, Runner
from deploybench.contracts.registry import Entry, exporters, runners
from deploybench.report.figures import good_or_bad, yes_or_no
from deploybench.report.table import Column, Prose, Report, Table, table_of
from deploybench.versions import installed_versions


@dataclass(frozen=True)
class PluginRow:
    """One registered exporter or runner.

    ``handles`` are the precisions of an exporter, the formats of a runner; ``options`` what an
    exporter takes beside the options of every export, each in words.
    """

    kind: str
    name: str
    handles: list[str]
    package: str
    usable: bool
    versions: str
    problem: str | None
    remedy: str | None
    options: list[str] = field(default_factory=list)

    @property
    def remark(self) -> str:
        """The versions, or what is missing and how to install it."""
        text = self.problem or self.versions
        if self.remedy:
            text += f" → {self.remedy}"
        return text


COLUMNS = (
    Column[PluginRow]("name", "name", lambda row: row.name),
    Column[PluginRow]("kind", "kind", lambda row: row.kind),
    Column[PluginRow](
        "usable",
        "usable",
        lambda row: yes_or_no(row.usable),
        style=lambda row: good_or_bad(row.usable),
    ),
    Column[PluginRow](
        "handles",
        "precisions / formats",
        lambda row: ", ".join(row.handles),
        folds=True,
        priority=2,
    ),
    Column[PluginRow]("package", "package", lambda row: row.package, priority=3),
    Column[PluginRow]("remark", "versions, or what is missing", lambda row: row.remark, folds=True),
)


def plugin_rows() -> list[PluginRow]:
    """One row a registered exporter or runner."""
    rows = []
    for exporter in exporters().values():
        row = _row("exporter", exporter, _precisions(exporter))
        rows.append(replace(row, options=_options(exporter)))
    for runner in runners().values():
        rows.append(_row("runner", runner, _formats(runner)))
    return rows


def plugin_table(rows: Sequence[PluginRow], title: str = "") -> Table:
    """The package is shown where there are plug-ins of several."""
    several = len({row.package for row in rows}) > 1
    shown = [column for column in COLUMNS if several or column.key != "package"]
    return table_of(shown, rows, title=title, data=asdict)


def plugin_report(rows: Sequence[PluginRow]) -> Report:
    """The table, and below it what the exporters can be asked for."""
    sections: list[Table | Prose] = [plugin_table(rows)]
    lines = []
    for row in rows:
        lines += [f"  {row.name}: {option}" for option in row.options]
    if lines:
        title = "Options of exporters (deploybench export --option NAME=VALUE)"
        sections.append(Prose(tuple(lines), title=title))
    return Report(tuple(sections), [asdict(row) for row in rows])


def _options(entry: Entry[Exporter]) -> list[str]:
    """Empty where the exporter is broken."""
    if entry.plugin is None:
        return []
    return [option.described() for option in entry.plugin.options]


def _precisions(entry: Entry[Exporter]) -> list[str]:
    """Empty where the exporter is broken."""
    if entry.plugin is None:
        return []
    return sorted(entry.plugin.precisions)


def _formats(entry: Entry[Runner]) -> list[str]:
    """Empty where the runner is broken."""
    if entry.plugin is None:
        return []
    return sorted(entry.plugin.formats)


def _row(kind: str, entry: Entry[Exporter] | Entry[Runner], handles: list[str]) -> PluginRow:
    versions: Mapping[str, str] = {}
    if entry.plugin is not None:
        versions = installed_versions(entry.plugin.distributions)
    return PluginRow(
        kind=kind,
        name=entry.name,
        handles=handles,
        package=entry.distribution,
        usable=entry.usable,
        versions=", ".join(f"{name} {value}" for name, value in versions.items()),
        problem=entry.problem,
        remedy=entry.remedy,
    )
