"""The worker: one fresh process that loads one artifact on one runner, proves parity, and times it.

Its memory and import figures are the runtime's own: this module and what it imports bring numpy,
psutil and pydantic, no runtime. Run by the parent as ``python -m deploybench.measure.worker
REPLY``.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic_ns, perf_counter

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.contracts import Arrays, Runner, Session
from deploybench.contracts.registry import runner
from deploybench.hardware.devices import CPU
from deploybench.measure.calls import Call, end_to_end, engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.proof import (
    crowded,
    failure_of,
    prove,
    reference_batches,
    thread_limit,
    timed_inputs,
)
from deploybench.measure.timed import TimedCalls, time_calls
from deploybench.processes import die_with_parent, finish
from deploybench.results.cell import END_TO_END, ENGINE_ONLY
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.telemetry.activity import usable_cpus
from deploybench.telemetry.memory import (
    WindowMemory,
    peak_resident_bytes,
    proportional_bytes,
    resident_bytes,
)

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
    cpus = usable_cpus()  # some runtimes pin the thread that loads them
    options = job.run_options
    limited = thread_limit(os.environ, options)
    if limited is not None:
        return Launch(refused=limited)
    batches = reference_batches(artifact, job.batch)
    gc.collect()
    baseline_bytes = resident_bytes()
    baseline_pss_bytes = proportional_bytes()
    with ExitStack() as stack:
        with _phase() as imported:
            for module in plugin.requires:
                __import__(module)
        with _phase() as loaded:
            sessions = [
                stack.enter_context(session) for session in plugin.load_streams(artifact, options)
            ]
        with _phase() as compiled:
            for session in sessions:
                session.compile()
        sessions[0].prepare_thread()
        with _phase() as first_inference:
            sessions[0].infer(batches[0])
        # Every stream is proved, in the thread settings that it will be timed with; the first that
        # does not hold decides.
        for session in sessions:
            session.prepare_thread()
            proof = prove(session, artifact, options, batches)
            if not proof.holds:
                break
        proved = Launch(
            facts=proof.facts,
            refused=proof.refused,
            parity=proof.parity,
            start_s=start_s,
            import_s=imported.seconds,
            load_s=loaded.seconds,
            compile_s=compiled.seconds,
            first_inference_ms=first_inference.seconds * 1e3,
        )
        if not proof.holds:
            return proved
        if not job.measure:
            return _proved_at_another_batch(proved, job, artifact, plugin)

        inputs = timed_inputs(artifact, job.batch)
        calls = [_call(job, artifact, session, inputs) for session in sessions]
        preparations = [session.prepare_thread for session in sessions]
        # The peak so far is that of setting up; from here on it is that of the calls.
        setup_peak_bytes = peak_resident_bytes()
        watch = WindowMemory()
        timed = time_calls(job, calls, preparations, cpus, watch)
        memory = MemoryPhases(
            baseline_bytes=baseline_bytes,
            baseline_pss_bytes=baseline_pss_bytes,
            imported_bytes=imported.resident_bytes,
            loaded_bytes=loaded.resident_bytes,
            compiled_bytes=compiled.resident_bytes,
            first_inference_bytes=first_inference.resident_bytes,
            setup_peak_bytes=setup_peak_bytes,
            peak_bytes=watch.peak_bytes or setup_peak_bytes,
            steady_pss_bytes=watch.without_harness(proportional_bytes()),
            harness_bytes=watch.harness_bytes,
        )
        # On fewer CPUs than the machine has threads take turns because somebody wants it so; on a
        # machine that has no more, the user asked for more threads than there are.
        refused = None
        if len(cpus) >= options.threads or len(cpus) < (os.cpu_count() or 1):
            refused = crowded(options, timed.threads_cpus)
        return _with_samples(proved, timed, memory).replaced(refused=refused)


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


@dataclass
class _Phase:
    """One step of setting up: how long it took, and what the process held when it ended."""

    seconds: float = 0.0
    resident_bytes: int = 0


@contextmanager
def _phase() -> Iterator[_Phase]:
    """Clock the body of a ``with``; the figures are there once it has ended."""
    phase = _Phase()
    start = perf_counter()
    yield phase
    phase.seconds = perf_counter() - start
    phase.resident_bytes = resident_bytes()


def _with_samples(launch: Launch, timed: TimedCalls, memory: MemoryPhases) -> Launch:
    """The launch with what was seen while it was timed."""
    return launch.replaced(
        samples_ns=timed.samples_ns,
        sample_cpu_ns=timed.sample_cpu_ns,
        sample_switches=timed.sample_switches,
        device_ns=timed.device_ns,
        warm_up=timed.warm_up,
        unsettled=timed.unsettled,
        window_ns=timed.window_ns,
        window_cpu_ns=timed.window_cpu_ns,
        threads_ran=timed.threads_ran,
        threads_cpus=timed.threads_cpus,
        sample_count=timed.sample_count,
        steady_histogram=timed.steady_histogram,
        device_histogram=timed.device_histogram,
        switches=timed.switches,
        surroundings=timed.surroundings,
        energy=timed.energy,
        memory=memory,
    )


def _call(job: Job, artifact: Artifact, session: Session, inputs: Arrays) -> Call:
    if job.timing == ENGINE_ONLY:
        return engine_only(session, inputs)
    if job.timing == END_TO_END and job.image is not None:
        return end_to_end(session, artifact, Path(job.image))
    return host_to_host(session, inputs)


if __name__ == "__main__":
    main()
