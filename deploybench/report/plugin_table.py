"""The table of plug-ins."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from deploybench.contracts import Exporter, Runner
from deploybench.contracts.registry import Entry, exporters, runners
from deploybench.report.tables import Cellular, print_table, state
from deploybench.versions import installed_versions


def plugin_rows() -> list[dict[str, object]]:
    """One row a registered exporter or runner."""
    rows = [_row("exporter", entry, sorted(_precisions(entry))) for entry in exporters().values()]
    for entry in runners().values():
        formats = sorted(entry.plugin.formats) if entry.plugin else []
        rows.append(_row("runner", entry, formats))
    return rows


def print_plugin_table(rows: Sequence[dict[str, object]], console: Console) -> None:
    texts: list[list[Cellular]] = []
    for row in rows:
        handles = row["handles"]
        listed = ", ".join(handles) if isinstance(handles, list) else ""
        remark = str(row["problem"]) if row["problem"] else str(row["versions"])
        if row["remedy"]:
            remark += f" → {row['remedy']}"
        name, kind, from_package = str(row["name"]), str(row["kind"]), str(row["package"])
        texts.append([kind, name, listed, from_package, state(bool(row["usable"])), remark])
    print_table(
        [
            "kind",
            "name",
            "precisions / formats",
            "package",
            "usable",
            "versions, or what is missing",
        ],
        texts,
        console,
    )


def _precisions(entry: Entry[Exporter]) -> frozenset[str]:
    return entry.plugin.precisions if entry.plugin else frozenset()


def _row(
    kind: str, entry: Entry[Exporter] | Entry[Runner], handles: list[str]
) -> dict[str, object]:
    versions = installed_versions(entry.plugin.distributions) if entry.plugin else {}
    return {
        "kind": kind,
        "name": entry.name,
        "handles": handles,
        "package": entry.distribution,
        "usable": entry.usable,
        "versions": ", ".join(f"{name} {value}" for name, value in versions.items()),
        "problem": entry.problem,
        "remedy": entry.remedy,
    }
