"""The table of an export: a row an artifact, with its parity, or the cause of the failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from deploybench.report.tables import print_table

if TYPE_CHECKING:
    from deploybench.export.request import ExportResult

MIB = 1 << 20


def export_rows(results: Sequence[ExportResult]) -> list[dict[str, object]]:
    """The rows as data: an entry an export."""
    return [_row(result) for result in results]


def print_export_table(results: Sequence[ExportResult], console: Console) -> None:
    """Print the rows, then where the artifacts are and what failed."""
    shown = sorted(results, key=lambda result: (result.request.model.name, result.request.backend))
    rows = []
    notes = []
    for result in shown:
        row = _row(result)
        if not _verified(result):
            notes.append(_note(result))
        rows.append(_cells(result, row, note=len(notes)))
    print_table(
        ["model", "backend", "prec", "batch", "MB", "parity error", "s", "state"], rows, console
    )
    for result in shown:
        if result.artifact is not None:
            console.print(Text(str(result.artifact.path), style="dim"), soft_wrap=True)
    for number, note in enumerate(notes, 1):
        console.print(Text(f"[{number}] {note}"))
    for remark in dict.fromkeys(result.remark for result in shown if result.remark):
        console.print(Text(remark))


def _row(result: ExportResult) -> dict[str, object]:
    manifest = result.artifact.manifest if result.artifact else None
    parity = manifest.parity if manifest else None
    return {
        "model": result.request.model.name,
        "backend": result.request.backend,
        "precision": result.request.precision,
        "batch": result.request.batch or "dynamic",
        "artifact": str(result.artifact.path) if result.artifact else None,
        "weights": manifest.weights.label if manifest else None,
        "size_bytes": manifest.size_bytes if manifest else None,
        "facts": manifest.facts if manifest else None,
        "verified": manifest.verified if manifest else False,
        "parity_max_error": parity.max_error if parity else None,
        "parity_budget": parity.budget_error if parity else None,
        "parity_note": manifest.parity_note if manifest else None,
        "reused": result.reused,
        "remark": result.remark,
        "seconds": round(result.seconds, 1),
        "error": str(result.error) if result.error else None,
    }


def _cells(result: ExportResult, row: dict[str, object], *, note: int) -> list[str | Text]:
    manifest = result.artifact.manifest if result.artifact else None
    parity = manifest.parity if manifest else None
    figures = "–"
    if parity is not None and parity.max_error is not None:
        figures = f"{parity.max_error:.0e} (≤ {parity.budget_error:.0e})"
    elif manifest is not None:
        figures = "not checked" if parity is None else "NaN, Inf or shape"
    size = f"{manifest.size_bytes / MIB:.1f}" if manifest else "–"
    return [
        str(row["model"]),
        str(row["backend"]),
        str(row["precision"]),
        str(row["batch"]),
        size,
        figures,
        f"{result.seconds:.1f}",
        _state(result, note),
    ]


def _state(result: ExportResult, note: int) -> Text:
    if result.artifact is None:
        return Text(f"FAILED [{note}]", style="bold red")
    if not result.ok:
        return Text(f"INVALID [{note}]", style="bold red")
    if not _verified(result):
        return Text(f"not run here [{note}]", style="yellow")
    return Text("verified, already there" if result.reused else "verified", style="green")


def _verified(result: ExportResult) -> bool:
    return result.artifact is not None and result.artifact.manifest.verified


def _note(result: ExportResult) -> str:
    where = f"{result.request.model.name} {result.request.backend}: "
    if result.error is not None:
        parts = [result.error.found]
        parts += [f"expected: {result.error.expected}"] if result.error.expected else []
        parts += [f"→ {result.error.action}"] if result.error.action else []
        return where + "; ".join(parts)
    note = result.artifact.manifest.parity_note if result.artifact else ""
    if result.ok:
        return where + note
    return f"{where}parity: {note}; the artifact is kept and will not be timed"
