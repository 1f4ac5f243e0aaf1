"""The worker: one fresh process that loads one artifact on one runner, proves parity, and times it.

Run by the parent as ``python -m deploybench.measure.worker REPLY``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import Runner
from deploybench.contracts.registry import runner
from deploybench.hardware.devices import CPU
from deploybench.measure.job import Job
from deploybench.measure.preparing import prepared, timed_launch
from deploybench.measure.proof import failure_of, prove, reference_batches
from deploybench.results.launch import Launch

NS_PER_S = 1_000_000_000
OTHER_BATCH = 3
"""Neither the 1 that an export is verified with nor the 2 of the exporters' example."""


def main() -> None:
    """Read a job from standard input, write its launch to the path in the first argument."""
    began_ns = monotonic_ns()
    die_with_parent()
    job = Job.model_validate_json(sys.stdin.read())
    start_s = None
    if job.spawned_ns is not None:
        start_s = (began_ns - job.spawned_ns) / NS_PER_S
    finish(launch(job, start_s).model_dump_json())


def launch(job: Job, start_s: float | None = None) -> Launch:
    """Do the job.

    Whatever goes wrong is in the launch: ``refused`` for a wrong artifact or a silent fallback,
    ``error`` for what the runtime raised. ``start_s`` is what the process took to get here.
    """
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        return _run(job, artifact, runner(job.runner).require(), start_s)
    except Exception as error:  # a runtime may raise anything; the row carries its words
        failure = failure_of(error)
        return Launch(refused=failure.refused, error=failure.error)


def _run(job: Job, artifact: Artifact, plugin: Runner, start_s: float | None) -> Launch:
    with prepared(job, artifact, plugin, start_s) as ready:
        if not ready.holds:
            return ready.launch
        if not job.measure:
            return _proved_at_another_batch(ready.launch, job, artifact, plugin)
        return timed_launch(job, ready)


def _proved_at_another_batch(
    proved: Launch, job: Job, artifact: Artifact, plugin: Runner
) -> Launch:
    """The launch, if a batch of another size holds as well; else one with what was found there.

    A number of images that a tracer took for a constant is seen at no single size.
    """
    if artifact.manifest.batch is not None or job.device != CPU:
        return proved
    options = replace(job.run_options, batch=OTHER_BATCH, streams=1)
    with plugin.load(artifact, options) as session:
        session.compile()
        session.prepare_thread()
        proof = prove(session, artifact, options, reference_batches(artifact, OTHER_BATCH))
    if proof.holds:
        return proved
    parity = proof.parity
    if parity is not None:
        parity = parity.replaced(reason=f"in batches of {OTHER_BATCH}: {parity.reason}")
    return proved.replaced(refused=proof.refused, parity=parity)


if __name__ == "__main__":
    main()
