"""The tables of a workspace: its artifacts, its runs, and what would be removed from it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.plurals import counted
from deploybench.report.figures import MIB
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of

if TYPE_CHECKING:
    from deploybench.artifacts.tidy import Removal, StoredArtifact, StoredRun
    from deploybench.errors import DeployBenchError


def workspace_report(
    artifacts: Sequence[StoredArtifact],
    runs: Sequence[StoredRun],
    unreadable: Sequence[tuple[Path, DeployBenchError]],
) -> Report:
    """A table of the artifacts, one of the runs, and what does not read."""
    broken = [f"unreadable: {path}: {error.found}" for path, error in unreadable]
    for stored in artifacts:
        if stored.damage is not None:
            broken.append(f"damaged: {stored.name}: {stored.damage}")
    sections: list[Table | Prose] = []
    if artifacts:
        sections.append(_artifact_table(artifacts))
    else:
        sections.append(Prose(("no artifacts",)))
    if broken:
        sections.append(Prose(tuple(broken), Style.BAD))
    if runs:
        sections.append(_run_table(runs))
    else:
        sections.append(Prose(("no runs",)))
    total = sum(stored.size_bytes for stored in artifacts) + sum(run.size_bytes for run in runs)
    held = f"{counted(len(artifacts), 'artifact')}, {counted(len(runs), 'run')}"
    sections.append(Prose((f"{held}, {size_text(total)}",)))
    data = {
        "artifacts": [_artifact_data(stored) for stored in artifacts],
        "runs": [_run_data(run) for run in runs],
        "unreadable": [{"path": str(path), "reason": error.found} for path, error in unreadable],
    }
    return Report(tuple(sections), data)


def removals_report(removals: Sequence[Removal]) -> Report:
    """What would be removed, and why."""
    columns = (
        Column["Removal"]("name", "name", lambda removal: removal.name),
        Column["Removal"](
            "size", "MB", lambda removal: f"{removal.size_bytes / MIB:.1f}", number=True
        ),
        Column["Removal"]("reason", "why", lambda removal: removal.reason, folds=True),
    )
    table = table_of(columns, removals, data=_removal_data)
    return Report((table,), [_removal_data(removal) for removal in removals])


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
        return NOTHING
    if seconds < 0:
        return NOTHING
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _artifact_table(artifacts: Sequence[StoredArtifact]) -> Table:
    columns = [
        Column["StoredArtifact"]("name", "artifact", lambda stored: stored.name),
        Column["StoredArtifact"]("form", "form", _form),
        Column["StoredArtifact"](
            "size", "MB", lambda stored: f"{stored.size_bytes / MIB:.1f}", number=True
        ),
        Column["StoredArtifact"](
            "age", "age", lambda stored: age_text(stored.artifact.manifest.created), priority=2
        ),
        Column["StoredArtifact"](
            "state",
            "state",
            lambda stored: _state(stored)[0],
            folds=True,
            style=lambda stored: _state(stored)[1],
        ),
    ]
    if any(stored.difference for stored in artifacts):
        told_by = Column["StoredArtifact"](
            "difference", "told by", lambda stored: stored.difference, folds=True
        )
        columns.insert(2, told_by)
    return table_of(columns, artifacts, data=_artifact_data)


def _run_table(runs: Sequence[StoredRun]) -> Table:
    columns = (
        Column["StoredRun"]("name", "run", lambda run: run.name),
        Column["StoredRun"]("kind", "kind", lambda run: run.kind),
        Column["StoredRun"](
            "created",
            "date (UTC)",
            lambda run: run.created[:16].replace("T", " "),
            priority=2,
        ),
        Column["StoredRun"]("cells", "cells", lambda run: str(run.cells), number=True),
        Column["StoredRun"]("size", "MB", lambda run: f"{run.size_bytes / MIB:.1f}", number=True),
        Column["StoredRun"]("verdicts", "verdicts", _verdicts, folds=True),
    )
    return table_of(columns, runs, data=_run_data)


def _artifact_data(stored: StoredArtifact) -> dict[str, object]:
    """The artifact, as ``--json`` prints it."""
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
        "adopted": None if manifest.adopted is None else manifest.adopted.agreement,
        "weights_random_share": manifest.weights.random_share,
        "superseded": stored.superseded,
        "difference": stored.difference,
        "damage": stored.damage,
        "created": manifest.created,
        "path": str(stored.artifact.path),
    }


def _run_data(run: StoredRun) -> dict[str, object]:
    """The run, as ``--json`` prints it; ``verdicts`` counts the cells by verdict."""
    return {
        "name": run.name,
        "kind": run.kind,
        "created": run.created,
        "cells": run.cells,
        "verdicts": run.verdicts,
        "size_bytes": run.size_bytes,
        "path": str(run.path),
    }


def _removal_data(removal: Removal) -> dict[str, object]:
    return {
        "name": removal.name,
        "path": str(removal.path),
        "reason": removal.reason,
        "size_bytes": removal.size_bytes,
    }


def _form(stored: StoredArtifact) -> str:
    """The precision, the image size, and the batch size where it is fixed."""
    manifest = stored.artifact.manifest
    shape = manifest.preprocessing
    parts = [manifest.precision, f"{shape.height}x{shape.width}"]
    if manifest.batch is not None:
        parts.append(f"b{manifest.batch}")
    return " ".join(parts)


def _state(stored: StoredArtifact) -> tuple[str, Style]:
    """What matters most of it in few words."""
    manifest = stored.artifact.manifest
    if stored.damage is not None:
        return "damaged", Style.BAD
    if stored.superseded:
        return "superseded", Style.FAINT
    if manifest.parity is None:
        return "unverified", Style.DOUBTFUL
    if not manifest.verified:
        return "INVALID", Style.BAD
    words = manifest.verified_words
    if words != "verified":
        return words, Style.DOUBTFUL
    return words, Style.GOOD


def _verdicts(run: StoredRun) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in run.verdicts.items())
