"""The table of an export: a row an artifact, with its parity, or the cause of the failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploybench.report.figures import MIB
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, table_of

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import Manifest
    from deploybench.export.request import ExportResult


def export_report(results: Sequence[ExportResult]) -> Report:
    """The rows with what failed, then where the artifacts are."""
    columns = (
        Column["ExportResult"]("model", "model", lambda result: result.request.model.name),
        Column["ExportResult"]("backend", "backend", lambda result: result.request.backend),
        Column["ExportResult"]("precision", "prec", lambda result: result.request.precision),
        Column["ExportResult"]("state", "state", _state, style=_state_style),
        Column["ExportResult"]("image_size", "px", _pixels),
        Column["ExportResult"]("batch", "batch", lambda result: str(_batch(result)), priority=2),
        Column["ExportResult"]("size_mib", "MB", _size, number=True, priority=2),
        Column["ExportResult"]("parity", "parity error", _parity, priority=3),
        Column["ExportResult"](
            "seconds", "s", lambda result: f"{result.seconds:.1f}", number=True, priority=3
        ),
    )
    several_sizes = len({_pixels(result) for result in results}) > 1
    shown = sorted(results, key=lambda result: (result.request.model.name, result.request.backend))
    table = table_of(
        [column for column in columns if several_sizes or column.key != "image_size"],
        shown,
        name=lambda result: f"{result.request.model.name} {result.request.backend}",
        notes=_notes,
        data=export_data,
    )
    paths = tuple(str(result.artifact.path) for result in shown if result.artifact is not None)
    folders = [Prose(paths, Style.FAINT, verbatim=True)] if paths else []
    remarks = tuple(dict.fromkeys(result.remark for result in shown if result.remark))
    if remarks:
        folders.append(Prose(remarks))
    return Report((table, *folders), [export_data(result) for result in results])


def export_data(result: ExportResult) -> dict[str, object]:
    """One export, as ``--json`` prints it."""
    manifest = _manifest(result)
    parity = manifest.parity if manifest else None
    return {
        "model": result.request.model.name,
        "backend": result.request.backend,
        "precision": result.request.precision,
        "batch": _batch(result),
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


def _manifest(result: ExportResult) -> Manifest | None:
    return result.artifact.manifest if result.artifact else None


def _batch(result: ExportResult) -> int | str:
    return result.request.batch or "dynamic"


def _pixels(result: ExportResult) -> str:
    """The sizes that were asked for; empty where the model's own were."""
    from deploybench.data.image_size import short_text

    model = result.request.model
    if model.image_size is not None:
        return short_text(model.image_size, model.patch_size)
    return f"/{model.patch_size}" if model.patch_size else ""


def _size(result: ExportResult) -> str:
    manifest = _manifest(result)
    return f"{manifest.size_bytes / MIB:.1f}" if manifest else NOTHING


def _parity(result: ExportResult) -> str:
    manifest = _manifest(result)
    if manifest is None:
        return NOTHING
    parity = manifest.parity
    if parity is None:
        return "not checked"
    if parity.max_error is None:
        return "NaN, Inf or shape"
    return f"{parity.max_error:.0e} (≤ {parity.budget_error:.0e})"


def _state(result: ExportResult) -> str:
    if result.artifact is None:
        return "FAILED"
    if not result.ok:
        return "INVALID"
    if not result.artifact.manifest.verified:
        return "not run here"
    return "verified, already there" if result.reused else "verified"


def _state_style(result: ExportResult) -> Style:
    if result.artifact is None or not result.ok:
        return Style.BAD
    return Style.GOOD if result.artifact.manifest.verified else Style.DOUBTFUL


def _notes(result: ExportResult) -> list[Note]:
    """Why an artifact is missing, is not used, or was not checked."""
    if result.error is not None:
        expected = f"; expected: {result.error.expected}" if result.error.expected else ""
        return [Note(result.error.found + expected, advice=result.error.action or "")]
    manifest = _manifest(result)
    if manifest is None or manifest.verified:
        return []
    if result.ok:
        return [Note(manifest.parity_note or "")]
    return [Note(f"parity: {manifest.parity_note}; the artifact is kept and will not be timed")]
