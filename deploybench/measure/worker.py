"""The worker: one fresh process that loads one artifact on one runner, proves parity, and times it.

Its memory and import figures are the runtime's own: this module and what it imports bring numpy,
psutil and pydantic, no runtime. Run by the parent as ``python -m deploybench.measure.worker REPLY``.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from deploybench.artifact import Artifact, open_artifact
from deploybench.contracts import Arrays, Runner, RunOptions, Session
from deploybench.errors import DeployBenchError
from deploybench.host import load_1m
from deploybench.measure.job import Job
from deploybench.measure.loop import run_window
from deploybench.measure.memory import peak_resident_bytes, resident_bytes
from deploybench.measure.stopping import WindowRule
from deploybench.parity import BUDGETS, ParityReport, compare_outputs
from deploybench.processes import die_with_parent, finish
from deploybench.registry import runner
from deploybench.results import Facts, Launch, MemoryPhases

NS_PER_S = 1_000_000_000


def main() -> None:
    """Read a job from standard input, write its launch to the path in the first argument."""
    die_with_parent()
    job = Job.model_validate_json(sys.stdin.read())
    finish(launch(job).model_dump_json())


def launch(job: Job) -> Launch:
    """Do the job. Whatever goes wrong is in the launch: ``refused`` for a wrong artifact or a silent
    fallback, ``error`` for what the runtime raised."""
    load = load_1m()
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        plugin = runner(job.runner).require()
    except DeployBenchError as error:
        return Launch(refused=str(error), load_1m=load)
    try:
        return _run(job, artifact, plugin, load)
    except DeployBenchError as error:
        return Launch(refused=str(error), load_1m=load)
    except MemoryError:
        return Launch(error="out of memory", load_1m=load)
    except Exception as error:  # a runtime may raise anything; the row carries its words
        return Launch(error=f"{type(error).__name__}: {_first_lines(error)}", load_1m=load)


def fallback(job: Job, facts: Facts) -> str | None:
    """Why what runs is not what was asked, or None."""
    for what, asked, found in (
        ("precision", job.precision, facts.precision),
        ("threads", job.threads, facts.threads),
        ("device", job.device, facts.device),
    ):
        if asked != found:
            return f"asked for {what} {asked}, {facts.provider} runs {found}"
    return None


def _run(job: Job, artifact: Artifact, plugin: Runner, load: float) -> Launch:
    reference, expected = artifact.reference()
    gc.collect()
    baseline = resident_bytes()

    start = perf_counter()
    for module in plugin.requires:
        __import__(module)
    import_s = perf_counter() - start
    imported = resident_bytes()

    start = perf_counter()
    options = RunOptions(job.device, job.threads, job.precision, job.batch)
    with plugin.load(artifact, options) as session:
        load_s = perf_counter() - start
        loaded = resident_bytes()

        batches = _batches(artifact, reference, job.batch)
        start = perf_counter()
        session.infer(batches[0])
        first_inference_ms = (perf_counter() - start) * 1e3
        after_first = resident_bytes()

        found = session.facts()
        facts = Facts(
            precision=found.precision,
            threads=found.threads,
            provider=found.provider,
            device=found.device,
            notes=tuple(found.notes),
        )
        refused = fallback(job, facts)
        if refused is not None:
            return Launch(facts=facts, refused=refused, import_s=import_s, load_s=load_s, load_1m=load)
        parity = _parity(session, batches, expected, _loosest(artifact.manifest.precision, facts.precision))
        result = Launch(
            facts=facts,
            parity=parity,
            import_s=import_s,
            load_s=load_s,
            first_inference_ms=first_inference_ms,
            load_1m=load,
        )
        if not parity.passed or not job.measure:
            return result

        inputs = batches[0]
        warmup = run_window(
            lambda: session.infer(inputs),
            WindowRule(job.min_warmup_calls, int(job.warmup_s * NS_PER_S), int(job.limit_s * NS_PER_S)),
        )
        window = run_window(
            lambda: session.infer(inputs),
            WindowRule(job.min_samples, int(job.duration_s * NS_PER_S), int(job.limit_s * NS_PER_S)),
        )
        return result.model_copy(
            update={
                "warmup_ns": warmup.samples_ns,
                "samples_ns": window.samples_ns,
                "window_ns": window.wall_ns,
                "window_cpu_ns": window.cpu_ns,
                "memory": MemoryPhases(
                    baseline_bytes=baseline,
                    imported_bytes=imported,
                    loaded_bytes=loaded,
                    first_inference_bytes=after_first,
                    peak_bytes=peak_resident_bytes(),
                ),
            }
        )


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


def _loosest(*precisions: str) -> str:
    return max(precisions, key=lambda precision: BUDGETS[precision].max_error)


def _first_lines(error: Exception, lines: int = 3, width: int = 400) -> str:
    text = " ".join(line.strip() for line in str(error).strip().splitlines()[:lines])
    return text[:width] or "no message"


if __name__ == "__main__":
    main()
