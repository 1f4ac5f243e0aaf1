"""The tables of a workspace: its artifacts, its runs, and what would be removed from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from deploybench.report.tables import Cellular, print_table

if TYPE_CHECKING:
    from deploybench.artifacts.tidy import Removal, StoredArtifact, StoredRun
    from deploybench.errors import DeployBenchError

MIB = 1 << 20
ARTIFACT_COLUMNS = ("artifact", "form", "MB", "age", "state")
RUN_COLUMNS = ("run", "kind", "date (UTC)", "cells", "MB", "verdicts")


def artifact_rows(stored: Sequence[StoredArtifact]) -> list[dict[str, object]]:
    """The artifacts as data."""
    return [_artifact_row(one) for one in stored]


def run_rows(stored: Sequence[StoredRun]) -> list[dict[str, object]]:
    """The runs as data; ``verdicts`` counts the cells by verdict."""
    return [
        {
            "name": run.name,
            "kind": run.kind,
            "created": run.created,
            "cells": run.cells,
            "verdicts": run.verdicts,
            "size_bytes": run.size_bytes,
            "path": str(run.path),
        }
        for run in stored
    ]


def removal_rows(removals: Sequence[Removal]) -> list[dict[str, object]]:
    """What would be removed, as data."""
    return [
        {
            "name": removal.name,
            "path": str(removal.path),
            "reason": removal.reason,
            "size_bytes": removal.size_bytes,
        }
        for removal in removals
    ]


def print_workspace(
    artifacts: Sequence[StoredArtifact],
    runs: Sequence[StoredRun],
    unreadable: Sequence[tuple[Path, DeployBenchError]],
    console: Console,
) -> None:
    """A table of the artifacts, one of the runs, and what does not read."""
    if artifacts:
        print_table(ARTIFACT_COLUMNS, [_artifact_cells(one) for one in artifacts], console)
    else:
        console.print("no artifacts")
    for stored in artifacts:
        if stored.damage is not None:
            line = f"damaged: {stored.name}: {stored.damage}"
            console.print(Text(line, style="red"), soft_wrap=True)
    for path, error in unreadable:
        console.print(Text(f"unreadable: {path}: {error.found}", style="red"), soft_wrap=True)
    console.print()
    if runs:
        print_table(RUN_COLUMNS, [_run_cells(run) for run in runs], console)
    else:
        console.print("no runs")
    total = sum(one.size_bytes for one in artifacts) + sum(run.size_bytes for run in runs)
    console.print(f"\n{len(artifacts)} artifacts, {len(runs)} runs, {size_text(total)}")


def print_removals(removals: Sequence[Removal], console: Console) -> None:
    """What would be removed, and why."""
    rows = [
        (removal.name, f"{removal.size_bytes / MIB:.1f}", removal.reason) for removal in removals
    ]
    print_table(("name", "MB", "why"), rows, console)


def size_text(size_bytes: int) -> str:
    """``12.3 MiB``; bytes below a MiB."""
    return f"{size_bytes / MIB:.1f} MiB" if size_bytes >= MIB else f"{size_bytes} bytes"


def age_text(created: str, now: datetime | None = None) -> str:
    """How long ago a time in ISO 8601 was, in the largest whole unit: ``3 d``, ``5 h``, ``2 min``.

    A time in the future, or none at all, is a dash.
    """
    now = now or datetime.now(timezone.utc)
    try:
        seconds = (now - datetime.fromisoformat(created)).total_seconds()
    except (ValueError, TypeError):
        return "–"
    if seconds < 0:
        return "–"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _artifact_row(stored: StoredArtifact) -> dict[str, object]:
    manifest = stored.artifact.manifest
    shape = manifest.preprocessing
    return {
        "name": stored.name,
        "model": manifest.model.name,
        "backend": manifest.backend,
        "precision": manifest.precision,
        "batch": manifest.batch or "dynamic",
        "image_size": [shape.height, shape.width],
        "weights": manifest.weights.label,
        "weights_sha256": manifest.weights.sha256,
        "key": manifest.key,
        "size_bytes": stored.size_bytes,
        "verified": manifest.verified,
        "superseded": stored.superseded,
        "damage": stored.damage,
        "created": manifest.created,
        "path": str(stored.artifact.path),
    }


def _artifact_cells(stored: StoredArtifact) -> tuple[Cellular, ...]:
    manifest = stored.artifact.manifest
    shape = manifest.preprocessing
    form = [manifest.precision, f"{shape.height}x{shape.width}"]
    if manifest.batch is not None:
        form.append(f"b{manifest.batch}")
    return (
        stored.name,
        " ".join(form),
        f"{stored.size_bytes / MIB:.1f}",
        age_text(manifest.created),
        _state(stored),
    )


def _state(stored: StoredArtifact) -> Text:
    """What matters most of it in one word, so that no table cuts it."""
    manifest = stored.artifact.manifest
    if stored.damage is not None:
        return Text("damaged", style="bold red")
    if stored.superseded:
        return Text("superseded", style="dim")
    if manifest.parity is None:
        return Text("unverified", style="yellow")
    if not manifest.verified:
        return Text("INVALID", style="bold red")
    return Text("verified", style="green")


def _run_cells(run: StoredRun) -> tuple[Cellular, ...]:
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in run.verdicts.items())
    return (
        run.name,
        run.kind,
        run.created[:16].replace("T", " "),
        str(run.cells),
        f"{run.size_bytes / MIB:.1f}",
        verdicts,
    )
