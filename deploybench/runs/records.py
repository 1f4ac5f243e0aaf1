"""Building every kind of record, and the command that measures its cell again."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploybench.analysis.bounds import bound_of
from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.acceptance import acceptance_arguments
from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.naming import KEY_DIGITS
from deploybench.artifacts.work import work_of
from deploybench.contracts.registry import runners
from deploybench.data.assumptions import assumptions_in
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportResult, ModelRequest
from deploybench.hardware.devices import CPU
from deploybench.hardware.precisions import arithmetic
from deploybench.hardware.profile import HOST
from deploybench.hardware.roof import Roof
from deploybench.plan.cells import Planned
from deploybench.results.cell import END_TO_END, HOST_TO_HOST, Cell
from deploybench.results.launch import Launch
from deploybench.results.record import Bound, Record, without_a_number
from deploybench.results.store import record_name, write_record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.results.visit import CanaryBest, Visit
from deploybench.runs.experiment import Stopped
from deploybench.runs.settings import AUTO, RunContext, RunSettings
from deploybench.stacks.stack import PRESENT, find_stack
from deploybench.versions import installed_versions

NO_NUMBER = (Verdict.INVALID, Verdict.FAILED)
NO_MORE_LAUNCHES = (Verdict.SKIPPED, *NO_NUMBER)


def keep(record: Record, context: RunContext) -> Record:
    """Write the record into the run's folder and hand it back.

    Two exports of one key have one name for their records: the second gets a mark of its own.
    """
    artifact = record.cell.artifact or ""
    mark = ""
    if context.artifact_of_name.setdefault(record_name(record), artifact) != artifact:
        mark = hashlib.sha256(artifact.encode()).hexdigest()[:KEY_DIGITS]
    write_record(record, context.workspace.records_folder / context.run, mark)
    return record


def kept(record: Record, context: RunContext) -> Iterator[Record]:
    """Write the record and hand it on; where that fails or is interrupted, hand it on first."""
    try:
        keep(record, context)
    except (DeployBenchError, KeyboardInterrupt):
        yield record
        raise
    yield record


def record_of(
    planned: Planned,
    launches: Sequence[Launch],
    judgement: Judgement | None,
    context: RunContext,
    settings: RunSettings,
    stopped: Stopped | None = None,
    *,
    visits: Sequence[Visit] = (),
    canary: CanaryBest | None = None,
) -> Record:
    """The record of what the cell's launches and visits showed so far.

    ``judgement`` is given where it is known without launches; ``stopped`` once there was the last.
    ``canary`` is the machine's own speed beside the visits.
    """
    manifest, cell = planned.artifact.manifest, planned.cell
    roof = context.roof(cell.device)
    command = command_of(cell, settings, context.profile_file or context.profile)
    summary = summarise(launches, cell.batch, visits, canary)
    if judgement is None:
        judgement = judge(launches, summary, command)
    if judgement.verdict in NO_NUMBER:
        summary = None
    ending = None
    more_rounds = None
    if stopped is not None:
        ending = stopped.ending.value
        more_rounds = stopped.more_rounds
    return Record(
        run=context.run,
        created=now(),
        complete=stopped is not None or judgement.verdict in NO_MORE_LAUNCHES,
        profile=context.profile,
        cell=cell,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
        macs_uncounted=manifest.model.macs_uncounted,
        tokens=manifest.model.tokens,
        weights_random_share=manifest.weights.random_share,
        artifact_bytes=manifest.size_bytes,
        peak_gflops=_peak_gflops(cell, roof),
        bound=_bound(cell, manifest, roof),
        baseline=settings.baseline,
        launches=tuple(launches),
        visits=tuple(visits),
        canary=canary if visits else None,
        summary=summary,
        judgement=judgement,
        stopped=ending,
        more_rounds=more_rounds,
        assumed=assumptions_in(manifest),
        host=context.host,
        versions=_versions_of(cell),
        command=command,
    )


def _versions_of(cell: Cell) -> dict[str, str]:
    """The versions of the distributions that take part in what the runner measures."""
    plugin = runners()[cell.runner].plugin
    if plugin is None:
        return {}
    if cell.stack != PRESENT:
        there = find_stack(cell.stack).versions
        return {name: there[name] for name in plugin.distributions if name in there}
    return installed_versions(plugin.distributions)


def _peak_gflops(cell: Cell, roof: Roof | None) -> float | None:
    if roof is None or arithmetic(cell.precision) not in roof.tflops:
        return None
    return 1e3 * roof.tflops[arithmetic(cell.precision)]


def _bound(cell: Cell, manifest: Manifest, roof: Roof | None) -> Bound | None:
    """The least time that one call of the cell can take.

    None where the roof or the work is not known.
    """
    if roof is None:
        return None
    work = work_of(manifest)
    if work is None:
        return None
    try:
        return bound_of(work, roof, precision=cell.precision, batch=cell.batch)
    except DeployBenchError:
        return None


def command_of(cell: Cell, settings: RunSettings, profile: str) -> str:
    """The one command that measures this cell again, in the same way.

    ``profile`` is the name of the hardware, or the file that describes it.
    """
    arguments = ["--artifact", str(Path(cell.artifact or "").resolve())]
    arguments += ["--runner", cell.runner]
    arguments += ["--batch", str(cell.batch)]
    arguments += ["--threads", str(cell.threads)]
    arguments += ["--precision", cell.precision]
    # What a run does by default is left out, so that the command stays short.
    if profile != HOST:
        arguments += ["--profile", profile]
    if cell.device != CPU:
        arguments += ["--device", cell.device]
    if cell.streams > 1:
        arguments += ["--streams", str(cell.streams)]
    if cell.timing != HOST_TO_HOST:
        arguments.append(f"--{cell.timing}")
    arguments += settings.pinning.arguments
    arguments += cell.option_arguments
    if cell.timing == END_TO_END and settings.image is not None:
        arguments += ["--image", settings.image]
    arguments += _way_of_looking(cell, settings)
    arguments += acceptance_arguments(settings.max_accuracy_drop)
    if settings.raw:
        arguments.append("--raw")
    rule = settings.rule
    if rule.max_rounds is not None:
        arguments += ["--rounds", str(rule.max_rounds)]
    elif rule.half_width is not None:
        arguments += ["--precision-target", f"{100 * rule.half_width:g}%"]
        arguments += ["--budget", f"{rule.budget_s:g}s"]
    arguments += ["--seed", str(settings.seed)]
    return shlex.join(["deploybench", "run", *arguments])


def _way_of_looking(cell: Cell, settings: RunSettings) -> list[str]:
    """By visits or by fresh launches, and how long each look is."""
    arguments = []
    if settings.launches != AUTO:
        arguments += ["--launches", settings.launches]
    if settings.visits(cell.device):
        arguments += ["--duration", f"{settings.visit_s:g}s"]
        if not settings.canary:
            arguments.append("--no-canary")
        return arguments
    arguments += ["--duration", f"{settings.duration_s:g}s"]
    return [*arguments, "--min-samples", str(settings.min_samples)]


def failed_export_record(
    result: ExportResult, context: RunContext, present: Sequence[Artifact]
) -> Record:
    """The row of a model that a run was asked for and that could not be exported.

    It stands among the model's other rows, if one of the ``present`` artifacts is of the same model
    and weights.
    """
    request = result.request
    weights = ""
    weights_identity = ""
    image_size = request.model.image_size or (0, 0)
    patch_size = request.model.patch_size
    sibling = _manifest_of(request.model, present)
    if sibling is not None:
        weights = sibling.weights.label
        weights_identity = sibling.weights.identity
        image_size = (sibling.preprocessing.height, sibling.preprocessing.width)
        patch_size = sibling.model.patch_size
    cell = Cell(
        model=request.model.name,
        weights=weights,
        weights_identity=weights_identity,
        image_size=image_size,
        patch_size=patch_size,
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
    reason = "export failed"
    advice = f"reproduce: {command}"
    if result.error is not None:
        reason = f"export: {result.error.found}"
        advice = result.error.action or advice
    judgement = Judgement(verdict=Verdict.FAILED, reason=reason, advice=advice)
    return _unmeasured(cell, judgement, command, context)


def _manifest_of(model: ModelRequest, present: Sequence[Artifact]) -> Manifest | None:
    """The manifest of an artifact of the same model with the same weights."""
    wanted = model.model_dump(mode="json")
    for artifact in present:
        if artifact.manifest.request["model"] == wanted:
            return artifact.manifest
    return None


def unreadable_record(folder: Path, error: DeployBenchError, context: RunContext) -> Record:
    """The row of an artifact whose manifest does not read or was edited.

    The names of its folders tell the model and the backend.
    """
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
    record = without_a_number(
        context.run,
        context.profile,
        cell,
        judgement,
        context.host,
        command,
        measures=context.measures,
    )
    return keep(record, context)
