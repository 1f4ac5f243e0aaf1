"""The worker: one fresh process that loads one artifact on one runner, proves parity, and times it.

Its memory and import figures are the runtime's own: this module and what it imports bring numpy,
psutil and pydantic, no runtime. Run by the parent as ``python -m deploybench.measure.worker REPLY``.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic_ns, perf_counter

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.parity import ParityReport, compare_outputs, loosest
from deploybench.contracts import Arrays, Runner, RunOptions, Session
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.hardware.devices import same_device
from deploybench.measure.activity import usable_cpus
from deploybench.measure.calls import Call, end_to_end, engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.memory import peak_resident_bytes, proportional_bytes, reset_peak, resident_bytes
from deploybench.measure.timed import time_calls
from deploybench.processes import die_with_parent, finish
from deploybench.results.cell import END_TO_END, ENGINE_ONLY
from deploybench.results.launch import Facts, Launch, MemoryPhases

NS_PER_S = 1_000_000_000
OUT_OF_MEMORY = "out of memory"


def main() -> None:
    """Read a job from standard input, write its launch to the path in the first argument."""
    began_ns = monotonic_ns()
    die_with_parent()
    job = Job.model_validate_json(sys.stdin.read())
    start_s = (began_ns - job.spawned_ns) / NS_PER_S if job.spawned_ns is not None else None
    finish(launch(job, start_s).model_dump_json())


def launch(job: Job, start_s: float | None = None) -> Launch:
    """Do the job. Whatever goes wrong is in the launch: ``refused`` for a wrong artifact or a silent
    fallback, ``error`` for what the runtime raised. ``start_s`` is what the process took to come here."""
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        return _run(job, artifact, runner(job.runner).require(), start_s)
    except DeviceError as error:
        return Launch(error=str(error))
    except DeployBenchError as error:
        return Launch(refused=str(error))
    except MemoryError:
        return Launch(error=OUT_OF_MEMORY)
    except Exception as error:  # a runtime may raise anything; the row carries its words
        cause = OUT_OF_MEMORY if _is_out_of_memory(error) else type(error).__name__
        return Launch(error=f"{cause}: {_first_lines(error)}")


def fallback(job: Job, facts: Facts) -> str | None:
    """Why what runs is not what was asked, or None. With several streams each session has its share of the threads."""
    for what, asked, found, same in (
        ("precision", job.precision, facts.precision, job.precision == facts.precision),
        ("threads", job.threads // job.streams, facts.threads, job.threads // job.streams == facts.threads),
        ("device", job.device, facts.device, same_device(job.device, facts.device)),
    ):
        if not same:
            return f"asked for {what} {asked}, {facts.provider} runs {found}"
    return None


def _run(job: Job, artifact: Artifact, plugin: Runner, start_s: float | None) -> Launch:
    reference, expected = artifact.reference()
    cpus = usable_cpus()  # some runtimes pin the thread that loads them
    options = RunOptions(job.device, job.threads, job.precision, job.batch, job.streams, job.cuda_graph)
    batches = _batches(artifact, reference, job.batch)
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
            sessions = [stack.enter_context(session) for session in plugin.load_streams(artifact, options)]
        with phase("compiled"):
            for session in sessions:
                session.compile()
        sessions[0].prepare_thread()
        with phase("first_inference"):
            sessions[0].infer(batches[0])
        result = Launch(
            facts=facts_of(sessions[0]),
            start_s=start_s,
            import_s=seconds["imported"],
            load_s=seconds["loaded"],
            compile_s=seconds["compiled"],
            first_inference_ms=seconds["first_inference"] * 1e3,
        )
        for session in sessions:
            session.prepare_thread()
            parity = _parity(session, batches, expected, loosest(artifact.manifest.precision, job.precision))
            refused = fallback(job, facts_of(session))
            result = result.model_copy(update={"parity": None if refused else parity, "refused": refused})
            if refused is not None or not parity.passed:
                return result
        if not job.measure:
            return result
        calls = [_call(job, artifact, session, batches[0]) for session in sessions]
        memory["setup_peak_bytes"] = peak_resident_bytes()
        reset_peak()
        timed = time_calls(job, calls, [session.prepare_thread for session in sessions], cpus)
        phases = MemoryPhases(**memory, peak_bytes=peak_resident_bytes(), steady_pss_bytes=proportional_bytes())
        return result.model_copy(update={**timed, "memory": phases})


def facts_of(session: Session) -> Facts:
    """What the session says of itself, for the record."""
    found = session.facts()
    return Facts(
        precision=found.precision,
        threads=found.threads,
        provider=found.provider,
        device=found.device,
        notes=tuple(found.notes),
        device_bytes=found.device_bytes,
        provenance=found.provenance,
    )


def _call(job: Job, artifact: Artifact, session: Session, inputs: Arrays) -> Call:
    if job.timing == ENGINE_ONLY:
        return engine_only(session, inputs)
    if job.timing == END_TO_END and job.image is not None:
        return end_to_end(session, artifact, Path(job.image))
    return host_to_host(session, inputs)


def _batches(artifact: Artifact, reference: npt.NDArray[np.float32], batch: int) -> list[Arrays]:
    """The reference images in whole batches; the images repeat where they do not fill one."""
    name = artifact.manifest.inputs[0].name
    calls = -(-len(reference) // batch)
    order = np.arange(calls * batch) % len(reference)
    return [{name: np.ascontiguousarray(reference[part])} for part in np.split(order, calls)]


def _parity(session: Session, batches: list[Arrays], expected: npt.NDArray[np.float32], precision: str) -> ParityReport:
    """Compare on every batch; outputs are copied, because a session may reuse its buffers."""
    outputs = [np.array(next(iter(session.infer(inputs).values()))) for inputs in batches]
    found = np.concatenate(outputs)
    order = np.arange(len(found)) % len(expected)
    return compare_outputs(expected[order], found, precision)


def _is_out_of_memory(error: Exception) -> bool:
    """Runtimes have no common type for it; CUDA, PyTorch and ONNX Runtime say one of these."""
    words = f"{type(error).__name__} {error}".lower()
    return any(sign in words for sign in ("outofmemory", "out of memory", "failed to allocate memory"))


def _first_lines(error: Exception, lines: int = 3, width: int = 400) -> str:
    text = " ".join(line.strip() for line in str(error).strip().splitlines()[:lines])
    return text[:width] or "no message"


if __name__ == "__main__":
    main()
