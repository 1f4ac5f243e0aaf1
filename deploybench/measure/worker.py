"""The worker: one fresh process that loads one artifact on one runner, proves parity, and times it.

Its memory and import figures are the runtime's own: this module and what it imports bring numpy,
psutil and pydantic, no runtime. Run by the parent as ``python -m deploybench.measure.worker
REPLY``.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic_ns, perf_counter

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.contracts import Arrays, Runner, Session
from deploybench.contracts.registry import runner
from deploybench.measure.calls import Call, end_to_end, engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.proof import failure_of, prove, reference_batches
from deploybench.measure.timed import time_calls
from deploybench.processes import die_with_parent, finish
from deploybench.results.cell import END_TO_END, ENGINE_ONLY
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.telemetry.activity import usable_cpus
from deploybench.telemetry.memory import (
    peak_resident_bytes,
    proportional_bytes,
    reset_peak,
    resident_bytes,
)

NS_PER_S = 1_000_000_000


def main() -> None:
    """Read a job from standard input, write its launch to the path in the first argument."""
    began_ns = monotonic_ns()
    die_with_parent()
    job = Job.model_validate_json(sys.stdin.read())
    start_s = (began_ns - job.spawned_ns) / NS_PER_S if job.spawned_ns is not None else None
    finish(launch(job, start_s).model_dump_json())


def launch(job: Job, start_s: float | None = None) -> Launch:
    """Do the job.

    Whatever goes wrong is in the launch: ``refused`` for a wrong artifact or a silent fallback,
    ``error`` for what the runtime raised. ``start_s`` is what the process took to come here.
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
    batches = reference_batches(artifact, job.batch)
    gc.collect()
    memory = {"baseline_bytes": resident_bytes(), "baseline_pss_bytes": proportional_bytes()}
    seconds: dict[str, float] = {}

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        start = perf_counter()
        yield
        seconds[name] = perf_counter() - start
        memory[f"{name}_bytes"] = resident_bytes()

    with ExitStack() as stack:
        with phase("imported"):
            for module in plugin.requires:
                __import__(module)
        with phase("loaded"):
            sessions = [
                stack.enter_context(session) for session in plugin.load_streams(artifact, options)
            ]
        with phase("compiled"):
            for session in sessions:
                session.compile()
        sessions[0].prepare_thread()
        with phase("first_inference"):
            sessions[0].infer(batches[0])
        for session in sessions:
            session.prepare_thread()
            proof = prove(session, artifact, options, batches)
            if not proof.holds:
                break
        timed: dict[str, object] = {}
        if proof.holds and job.measure:
            calls = [_call(job, artifact, session, batches[0]) for session in sessions]
            memory["setup_peak_bytes"] = peak_resident_bytes()
            reset_peak()
            timed = time_calls(job, calls, [session.prepare_thread for session in sessions], cpus)
            timed["memory"] = MemoryPhases(
                **memory, peak_bytes=peak_resident_bytes(), steady_pss_bytes=proportional_bytes()
            )
        return Launch(
            facts=proof.facts,
            refused=proof.refused,
            parity=proof.parity,
            start_s=start_s,
            import_s=seconds["imported"],
            load_s=seconds["loaded"],
            compile_s=seconds["compiled"],
            first_inference_ms=seconds["first_inference"] * 1e3,
            **timed,
        )


def _call(job: Job, artifact: Artifact, session: Session, inputs: Arrays) -> Call:
    if job.timing == ENGINE_ONLY:
        return engine_only(session, inputs)
    if job.timing == END_TO_END and job.image is not None:
        return end_to_end(session, artifact, Path(job.image))
    return host_to_host(session, inputs)


if __name__ == "__main__":
    main()
