"""The worker: one fresh process that runs one LoadGen test.

It loads the instances and proves parity of each before.

Run by the parent as ``python -m deploybench.scenarios.worker REPLY``.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, perf_counter_ns

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import Runner, RunOptions, Session
from deploybench.contracts.registry import runner
from deploybench.data.feeding import fed
from deploybench.data.synthetic import REFERENCE_IMAGES
from deploybench.hardware.quotas import affinity
from deploybench.measure.proof import failure_of, misplaced, prove, reference_batches
from deploybench.scenarios.loadgen import NS_PER_S, run_test
from deploybench.scenarios.record import Trial
from deploybench.scenarios.settings import ScenarioJob
from deploybench.scenarios.system import Images, System

MIN_WARMUP_CALLS = 3


def main() -> None:
    """Read a job from standard input, write its trial to the path in the first argument."""
    die_with_parent()
    job = ScenarioJob.model_validate_json(sys.stdin.read())
    finish(trial(job).model_dump_json())


def trial(job: ScenarioJob) -> Trial:
    """Do the job.

    Whatever goes wrong is in the trial: ``refused`` for a wrong artifact or a silent fallback,
    ``error`` for what the runtime raised.
    """
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        return _run(job, artifact, runner(job.runner).require())
    except Exception as error:  # a runtime may raise anything; the row carries its words
        failure = failure_of(error)
        return Trial(refused=failure.refused, error=failure.error)


def _run(job: ScenarioJob, artifact: Artifact, plugin: Runner) -> Trial:
    settings = job.settings
    cpus = affinity()  # some runtimes pin the thread that loads them
    pinned = tuple(sorted(cpus)) if job.pin else None
    refused = misplaced(job.pin, cpus)
    if refused is not None:
        return Trial(refused=refused, pinned=pinned)
    pixels, _ = artifact.reference()
    # The first are the usual ones; the others are for parity.
    spec = artifact.manifest.inputs[0]
    images = Images(spec.name, fed(pixels[:REFERENCE_IMAGES], spec), settings.batch)
    batches = reference_batches(artifact, settings.batch)
    options = RunOptions(job.device, job.threads, job.precision, settings.batch, settings.instances)
    with contextlib.ExitStack() as stack:
        start = perf_counter()
        sessions = [
            stack.enter_context(session) for session in plugin.load_streams(artifact, options)
        ]
        load_s = perf_counter() - start
        for session in sessions:
            session.prepare_thread()
            proof = prove(session, artifact, options, batches, job.evidence)
            if not proof.holds:
                return Trial(
                    load_s=load_s,
                    facts=proof.facts,
                    refused=proof.refused,
                    parity=proof.parity,
                    pinned=pinned,
                )
        call_ns = min(_warm_up(session, images, job.warmup_s) for session in sessions)
        with (
            System(sessions, images, queued=settings.scenario.concurrent) as system,
            _no_collections(),
        ):
            measured = run_test(
                settings, system.issue, images=len(images), expected_call_ns=call_ns
            )
        if system.error is not None:
            raise system.error
        return Trial(
            load_s=load_s,
            facts=proof.facts,
            parity=proof.parity,
            loadgen=measured,
            pinned=pinned,
        )


def _warm_up(session: Session, images: Images, seconds: float) -> float:
    """Call for a while; the time of the fastest call in ns.

    The fastest, because LoadGen plans its queries by it: it must not run out of them where the
    machine gets faster.
    """
    inputs = images.inputs([0])
    samples: list[int] = []
    end = perf_counter_ns() + round(seconds * NS_PER_S)
    while len(samples) < MIN_WARMUP_CALLS or perf_counter_ns() < end:
        start = perf_counter_ns()
        session.infer(inputs)
        samples.append(perf_counter_ns() - start)
    return float(min(samples))


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """No garbage collection while LoadGen's clock runs."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


if __name__ == "__main__":
    main()
