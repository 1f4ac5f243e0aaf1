"""Setting up a worker: one artifact loaded on one runner, in phases that are clocked, and proved.

Its memory and import figures are the runtime's own: this module and what it imports bring numpy,
psutil and pydantic, no runtime.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Arrays, Runner, Session
from deploybench.measure.calls import Call, end_to_end, engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.process_options import settled
from deploybench.measure.proof import (
    crowded,
    misplaced,
    prove,
    reference_batches,
    thread_limit,
    timed_inputs,
)
from deploybench.measure.timed import time_calls
from deploybench.results.cell import END_TO_END, ENGINE_ONLY
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.telemetry.activity import usable_cpus
from deploybench.telemetry.memory import (
    WindowMemory,
    peak_resident_bytes,
    proportional_bytes,
    resident_bytes,
)


@dataclass
class Phase:
    """One step of setting up: how long it took, and what the process held when it ended."""

    seconds: float = 0.0
    resident_bytes: int = 0


@contextmanager
def phase() -> Iterator[Phase]:
    """Clock the body of a ``with``; the figures are there once it has ended."""
    clocked = Phase()
    start = perf_counter()
    yield clocked
    clocked.seconds = perf_counter() - start
    clocked.resident_bytes = resident_bytes()


@dataclass
class Ready:
    """A worker that is set up: what it showed so far, and the calls that may be timed.

    ``launch`` says why there are no calls where there are none. ``watch`` follows the memory of the
    windows of calls, of all of them.
    """

    launch: Launch
    cpus: frozenset[int]
    calls: list[Call] = field(default_factory=list)
    preparations: list[Callable[[], object]] = field(default_factory=list)
    baseline_bytes: int = 0
    baseline_pss_bytes: int | None = None
    imported_bytes: int = 0
    loaded_bytes: int = 0
    compiled_bytes: int = 0
    first_inference_bytes: int = 0
    setup_peak_bytes: int = 0
    watch: WindowMemory = field(default_factory=WindowMemory)

    @property
    def holds(self) -> bool:
        """Whether the artifact is what was asked for and computes what it should."""
        parity = self.launch.parity
        return self.launch.refused is None and parity is not None and parity.holds

    def memory(self) -> MemoryPhases:
        """The memory after each phase, and of the windows until now."""
        return MemoryPhases(
            baseline_bytes=self.baseline_bytes,
            baseline_pss_bytes=self.baseline_pss_bytes,
            imported_bytes=self.imported_bytes,
            loaded_bytes=self.loaded_bytes,
            compiled_bytes=self.compiled_bytes,
            first_inference_bytes=self.first_inference_bytes,
            setup_peak_bytes=self.setup_peak_bytes,
            peak_bytes=self.watch.peak_bytes or self.setup_peak_bytes,
            steady_pss_bytes=self.watch.without_harness(proportional_bytes()),
            harness_bytes=self.watch.harness_bytes,
        )


@contextmanager
def prepared(
    job: Job, artifact: Artifact, plugin: Runner, start_s: float | None
) -> Iterator[Ready]:
    """Load the artifact and prove it; the sessions live as long as the body of the ``with``.

    ``start_s`` is what the process took to get here. Whatever a runtime raises is raised.
    """
    cpus = usable_cpus()  # some runtimes pin the thread that loads them
    options = job.run_options
    pinned = tuple(sorted(cpus)) if job.pin else None
    refused = thread_limit(os.environ, options) or misplaced(job.pin, cpus)
    if refused is not None:
        yield Ready(Launch(refused=refused, pinned=pinned), cpus)
        return
    batches = reference_batches(artifact, job.batch)
    gc.collect()
    baseline_bytes = resident_bytes()
    baseline_pss_bytes = proportional_bytes()
    with ExitStack() as stack:
        with phase() as imported:
            for module in plugin.requires:
                __import__(module)
        with phase() as loaded:
            sessions = [
                stack.enter_context(session) for session in plugin.load_streams(artifact, options)
            ]
        with phase() as compiled:
            for session in sessions:
                session.compile()
        sessions[0].prepare_thread()
        with phase() as first_inference:
            sessions[0].infer(batches[0])
        # Every stream is proved, in the thread settings that it will be timed with; the first that
        # does not hold decides.
        for session in sessions:
            session.prepare_thread()
            proof = prove(session, artifact, options, batches, job.evidence)
            if not proof.holds:
                break
        session = sessions[0]
        facts, refused = settled(proof.facts, options, lambda: session.infer(batches[0]))
        ready = Ready(
            launch=Launch(
                facts=facts,
                refused=proof.refused or refused,
                parity=proof.parity,
                pinned=pinned,
                start_s=start_s,
                import_s=imported.seconds,
                load_s=loaded.seconds,
                compile_s=compiled.seconds,
                first_inference_ms=first_inference.seconds * 1e3,
            ),
            cpus=cpus,
            baseline_bytes=baseline_bytes,
            baseline_pss_bytes=baseline_pss_bytes,
            imported_bytes=imported.resident_bytes,
            loaded_bytes=loaded.resident_bytes,
            compiled_bytes=compiled.resident_bytes,
            first_inference_bytes=first_inference.resident_bytes,
        )
        if ready.holds and job.measure:
            inputs = timed_inputs(artifact, job.batch)
            ready.calls = [_call(job, artifact, session, inputs) for session in sessions]
            ready.preparations = [session.prepare_thread for session in sessions]
            # The peak so far is that of setting up; from here on it is that of the calls.
            ready.setup_peak_bytes = peak_resident_bytes()
        yield ready


def timed_launch(job: Job, ready: Ready) -> Launch:
    """The launch with one window of its calls, as long as the job asks for."""
    timed = time_calls(job, ready.calls, ready.preparations, ready.cpus, ready.watch)
    # On fewer CPUs than the machine has threads take turns because somebody wants it so; on a
    # machine that has no more, the user asked for more threads than there are.
    options = job.run_options
    refused = None
    if len(ready.cpus) >= options.threads or len(ready.cpus) < (os.cpu_count() or 1):
        refused = crowded(options, timed.threads_cpus)
    refused = refused or misplaced(job.pin, timed.threads_cpus)
    # What was seen bears the names that it has in the launch.
    return ready.launch.replaced(**vars(timed), memory=ready.memory(), refused=refused)


def _call(job: Job, artifact: Artifact, session: Session, inputs: Arrays) -> Call:
    if job.timing == ENGINE_ONLY:
        return engine_only(session, inputs)
    if job.timing == END_TO_END and job.image is not None:
        return end_to_end(session, artifact, Path(job.image))
    return host_to_host(session, inputs)
