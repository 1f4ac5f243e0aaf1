"""Building every kind of record, and the command that measures its cell again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from deploybench.analysis.bounds import bound_of
from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.work import work_of
from deploybench.contracts.registry import runners
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportResult
from deploybench.hardware.devices import CPU
from deploybench.hardware.profile import HOST
from deploybench.hardware.roof import Roof
from deploybench.plan.cells import Planned
from deploybench.results.cell import END_TO_END, HOST_TO_HOST, Cell
from deploybench.results.launch import Launch
from deploybench.results.record import Bound, Record
from deploybench.results.store import write_record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.runs.experiment import Stopped
from deploybench.runs.settings import RunContext, RunSettings
from deploybench.versions import installed_versions


def keep(record: Record, context: RunContext) -> Record:
    """Write the record into the run's folder and hand it back."""
    write_record(record, context.workspace.records_folder / context.run)
    return record


def record_of(
    planned: Planned,
    launches: Sequence[Launch],
    judgement: Judgement | None,
    context: RunContext,
    settings: RunSettings,
    stopped: Stopped | None = None,
) -> Record:
    """The record of what the cell's launches showed so far; ``judgement`` where it is known without
    them."""
    manifest, cell = planned.artifact.manifest, planned.cell
    roof = context.roof(cell.device)
    plugin = runners()[cell.runner].plugin
    command = command_of(cell, settings, context.profile_file or context.profile)
    summary = summarise(launches, cell.batch)
    judgement = judgement or judge(launches, summary, command)
    shown = judgement.verdict not in (Verdict.INVALID, Verdict.FAILED)
    return Record(
        run=context.run,
        created=now(),
        complete=judgement.verdict in (Verdict.SKIPPED, Verdict.INVALID, Verdict.FAILED)
        or stopped is not None,
        profile=context.profile,
        cell=cell,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
        tokens=manifest.model.tokens,
        artifact_bytes=manifest.size_bytes,
        peak_gflops=_peak_gflops(cell, roof),
        bound=_bound(cell, manifest, roof),
        baseline=settings.baseline,
        launches=tuple(launches),
        summary=summary if shown else None,
        judgement=judgement,
        stopped=stopped.ending.value if stopped else None,
        more_rounds=stopped.more_rounds if stopped else None,
        host=context.host,
        versions=installed_versions(plugin.distributions) if plugin else {},
        command=command,
    )


def _peak_gflops(cell: Cell, roof: Roof | None) -> float | None:
    peak = roof.tflops.get(cell.precision) if roof is not None else None
    return None if peak is None else 1e3 * peak


def _bound(cell: Cell, manifest: Manifest, roof: Roof | None) -> Bound | None:
    """The least time that one call of the cell can take; None where the roof or the work is not
    known."""
    work = work_of(manifest) if roof is not None else None
    if roof is None or work is None:
        return None
    try:
        return bound_of(work, roof, precision=cell.precision, batch=cell.batch)
    except DeployBenchError:
        return None


def command_of(cell: Cell, settings: RunSettings, profile: str) -> str:
    """The one command that measures this cell again, in the same way and under the same name of the
    hardware."""
    words = [
        "deploybench",
        "run",
        "--artifact",
        str(Path(cell.artifact or "").resolve()),
        "--runner",
        cell.runner,
    ]
    words += [
        "--batch",
        str(cell.batch),
        "--threads",
        str(cell.threads),
        "--precision",
        cell.precision,
    ]
    if profile != HOST:
        words += ["--profile", profile]
    if cell.device != CPU:
        words += ["--device", cell.device]
    if cell.streams > 1:
        words += ["--streams", str(cell.streams)]
    if cell.timing != HOST_TO_HOST:
        words.append(f"--{cell.timing}")
    words += cell.option_arguments
    if cell.timing == END_TO_END and settings.image is not None:
        words += ["--image", settings.image]
    words += ["--duration", f"{settings.duration_s:g}s", "--min-samples", str(settings.min_samples)]
    rule = settings.rule
    if rule.max_rounds is not None:
        words += ["--rounds", str(rule.max_rounds)]
    elif rule.half_width is not None:
        words += [
            "--precision-target",
            f"{100 * rule.half_width:g}%",
            "--budget",
            f"{rule.budget_s:g}s",
        ]
    return shlex.join([*words, "--seed", str(settings.seed)])


def failed_export_record(
    result: ExportResult, context: RunContext, present: Sequence[Artifact]
) -> Record:
    """The row of a model that a run was asked for and that could not be exported.

    It stands among the model's other rows, if one of the ``present`` artifacts is of the same model
    and weights.
    """
    request, error = result.request, result.error
    asked = request.model.model_dump(mode="json")
    sibling = next(
        (item.manifest for item in present if item.manifest.request["model"] == asked), None
    )
    size = (
        (sibling.preprocessing.height, sibling.preprocessing.width)
        if sibling
        else request.model.image_size
    )
    cell = Cell(
        model=request.model.name,
        weights=sibling.weights.label if sibling else "",
        weights_identity=sibling.weights.identity if sibling else "",
        image_size=size or (0, 0),
        patch_size=sibling.model.patch_size if sibling else request.model.patch_size,
        backend=request.backend,
        form="none",
        runner=request.backend,
        device=context.devices[0],
        precision=request.precision,
        batch=request.batch or 1,
        threads=context.threads,
        artifact=None,
        artifact_key=None,
    )
    command = request.command()
    advice = (error.action if error else None) or f"reproduce: {command}"
    reason = f"export: {error.found}" if error else "export failed"
    return _unmeasured(
        cell, Judgement(verdict=Verdict.FAILED, reason=reason, advice=advice), command, context
    )


def unreadable_record(folder: Path, error: DeployBenchError, context: RunContext) -> Record:
    """The row of an artifact whose manifest does not read or was edited; its folders name the model
    and the backend."""
    cell = Cell(
        model=folder.parent.name,
        weights="",
        weights_identity="",
        image_size=(0, 0),
        backend=folder.name,
        form="none",
        runner=folder.name.partition("-")[0],
        device=context.devices[0],
        precision="–",
        batch=1,
        threads=context.threads,
        artifact=str(folder),
        artifact_key=folder.name.rpartition("-")[2],
    )
    judgement = Judgement(
        verdict=Verdict.INVALID, reason=error.found, advice=error.action or "export it again"
    )
    return _unmeasured(cell, judgement, f"deploybench run --artifact {folder}", context)


def _unmeasured(cell: Cell, judgement: Judgement, command: str, context: RunContext) -> Record:
    record = Record(
        run=context.run,
        created=now(),
        complete=True,
        profile=context.profile,
        cell=cell,
        parameters=None,
        macs=None,
        artifact_bytes=None,
        peak_gflops=None,
        launches=(),
        summary=None,
        judgement=judgement,
        host=context.host,
        versions={},
        command=command,
    )
    return keep(record, context)
