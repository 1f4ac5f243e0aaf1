"""The record of a cell that was evaluated, and the command that evaluates it again."""

from __future__ import annotations

import shlex

from deploybench.analysis.verdicts import judge_attempts
from deploybench.artifacts.acceptance import acceptance_arguments
from deploybench.contracts.registry import runners
from deploybench.data.assumptions import assumptions_in
from deploybench.documents import now
from deploybench.evaluate.job import DataRequest
from deploybench.plan.cells import Planned
from deploybench.plurals import counted
from deploybench.results.launch import Launch
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.results.store import write_record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.runs.settings import RunContext
from deploybench.versions import installed_versions


def evaluation_record(
    planned: Planned,
    launch: Launch | None,
    quality: Quality | None,
    context: RunContext,
    command: str,
    *,
    problem: Judgement | None = None,
) -> Record:
    """Build the record of a cell, write it into the run's folder and hand it back.

    ``launch`` is what the worker said; ``problem`` says why no process was asked. The quality of
    what is not accepted by it is kept: it is the reason. ``command`` evaluates the cell again.
    """
    manifest, cell = planned.artifact.manifest, planned.cell
    judgement = problem
    if judgement is None and launch is not None:
        judgement = judge_attempts([launch], command)
    if judgement is None:
        judgement = judge_quality(quality, launch)
    if judgement.verdict is Verdict.FAILED:
        quality = None
    plugin = runners()[cell.runner].plugin
    versions = {} if plugin is None else installed_versions(plugin.distributions)
    record = Record(
        run=context.run,
        created=now(),
        complete=True,
        profile=context.profile,
        cell=cell,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
        macs_uncounted=manifest.model.macs_uncounted,
        tokens=manifest.model.tokens,
        weights_random_share=manifest.weights.random_share,
        artifact_bytes=manifest.size_bytes,
        peak_gflops=None,
        launches=() if launch is None else (launch,),
        summary=None,
        judgement=judgement,
        assumed=assumptions_in(manifest),
        measures="quality",
        quality=quality,
        host=context.host,
        versions=versions,
        command=command,
    )
    write_record(record, context.workspace.records_folder / context.run)
    return record


def judge_quality(quality: Quality | None, launch: Launch | None = None) -> Judgement:
    """VALID, with how many images were seen; FAILED where none could be read."""
    if quality is None:
        return Judgement(verdict=Verdict.FAILED, reason="nothing was evaluated")
    seen = quality.data
    if not seen.evaluated:
        first = quality.failed[0].reason if quality.failed else "there is none"
        return Judgement(
            verdict=Verdict.FAILED,
            reason=f"none of {counted(seen.images, 'image')} could be read: {first}",
            advice="check --data",
        )
    reason = f"{counted(seen.evaluated, 'image')} evaluated"
    if quality.failed_count:
        reason += f", {quality.failed_count} of {seen.images} could not be read"
    if launch is not None and launch.parity is not None and launch.parity.accepted:
        reason += f"; accepted by accuracy: {launch.parity.accepted}"
    return Judgement(verdict=Verdict.VALID, reason=reason)


def evaluation_command(
    planned: Planned, context: RunContext, data: DataRequest, max_drop: float | None = None
) -> str:
    """The one command that evaluates this cell again."""
    cell = planned.cell
    words = ["deploybench", "evaluate", "--data", data.path]
    if data.split is not None:
        words += ["--split", data.split]
    if data.class_names is not None:
        words += ["--class-names", ",".join(data.class_names)]
    if data.uncertain is not None:
        words += ["--uncertain", data.uncertain]
    for use, name in data.columns.items():
        words += ["--column", f"{use}={name}"]
    if data.unlabelled:
        words.append("--unlabelled")
    words += ["--artifact", str(planned.artifact.path), "--runner", cell.runner]
    words += ["--precision", cell.precision, "--device", cell.device]
    words += ["--batch", str(cell.batch), "--threads", str(cell.threads)]
    words += acceptance_arguments(max_drop)
    words += ["--workspace", str(context.workspace.root)]
    return shlex.join(words)
