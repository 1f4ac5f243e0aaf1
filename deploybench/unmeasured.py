"""Records of what never came to a launch: exports that failed and artifacts that do not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.benchmark import RunContext, keep
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportResult
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict


def failed_export_record(result: ExportResult, context: RunContext, present: Sequence[Artifact]) -> Record:
    """The row of a model that a run was asked for and that could not be exported.

    It stands among the model's other rows, if one of the ``present`` artifacts is of the same model and weights.
    """
    request, error = result.request, result.error
    asked = request.model.model_dump(mode="json")
    sibling = next((item.manifest for item in present if item.manifest.request["model"] == asked), None)
    size = (sibling.preprocessing.height, sibling.preprocessing.width) if sibling else request.model.image_size
    cell = Cell(
        model=request.model.name, weights=sibling.weights.label if sibling else "",
        weights_identity=sibling.weights.identity if sibling else "", image_size=size or (0, 0),
        patch_size=sibling.model.patch_size if sibling else request.model.patch_size,
        backend=request.backend, form="none", runner=request.backend, device=context.devices[0],
        precision=request.precision,
        batch=request.batch or 1, threads=context.threads, artifact=None, artifact_key=None,
    )  # fmt: skip
    command = request.command()
    advice = (error.action if error else None) or f"reproduce: {command}"
    reason = f"export: {error.found}" if error else "export failed"
    return _record(cell, Judgement(verdict=Verdict.FAILED, reason=reason, advice=advice), command, context)


def unreadable_record(folder: Path, error: DeployBenchError, context: RunContext) -> Record:
    """The row of an artifact whose manifest does not read or was edited; its folders name the model and the backend."""
    cell = Cell(
        model=folder.parent.name, weights="", weights_identity="", image_size=(0, 0), backend=folder.name, form="none",
        runner=folder.name.partition("-")[0], device=context.devices[0], precision="–", batch=1,
        threads=context.threads,
        artifact=str(folder), artifact_key=folder.name.rpartition("-")[2],
    )  # fmt: skip
    judgement = Judgement(verdict=Verdict.INVALID, reason=error.found, advice=error.action or "export it again")
    return _record(cell, judgement, f"deploybench run --artifact {folder}", context)


def _record(cell: Cell, judgement: Judgement, command: str, context: RunContext) -> Record:
    record = Record(
        run=context.run, created=now(), complete=True, profile=context.profile, cell=cell, parameters=None, macs=None,
        artifact_bytes=None, peak_gflops=None, launches=(), summary=None, judgement=judgement, host=context.host,
        versions={}, command=command,
    )  # fmt: skip
    return keep(record, context)
