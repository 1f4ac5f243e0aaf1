"""Records made of given launch medians, for tests of what is computed from two sets of them."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host
from deploybench.results.cell import Cell
from deploybench.results.launch import Facts, Launch, MemoryPhases, Probes, Surroundings
from deploybench.results.record import Record
from tests import records

SAMPLES = 20
NEAR_NS, FAR_NS = 105.0, 235.0


def launch(
    ms: float,
    number: int = 0,
    *,
    hop_ns: float | None = NEAR_NS,
    hop_after_ns: float | None = None,
    compute_us: float = 40.0,
    precision: str = "fp32",
    **changes: object,
) -> Launch:
    """A launch whose samples all take ``ms``; the probes before and after agree unless
    ``hop_after_ns`` is given."""
    samples = (round(ms * 1e6),) * SAMPLES
    before = Probes(compute_us=compute_us, memory_ms=5.0, hop_ns=hop_ns)
    after = Probes(compute_us=compute_us, memory_ms=5.0, hop_ns=hop_after_ns or hop_ns)
    made = Launch(
        round=number,
        facts=Facts(precision=precision, threads=2, provider="test", device="cpu"),
        load_s=0.2,
        compile_s=0.0,
        first_inference_ms=9.0,
        samples_ns=samples,
        window_ns=sum(samples),
        window_cpu_ns=2 * sum(samples),
        memory=MemoryPhases(
            baseline_bytes=1,
            imported_bytes=2,
            loaded_bytes=3,
            compiled_bytes=3,
            first_inference_bytes=4,
            setup_peak_bytes=5,
            peak_bytes=5,
        ),
        surroundings=Surroundings(
            before=before, after=after, cpus=2, foreign_cpu_share=0.0, steal_share=0.0
        ),
    )
    return made.model_copy(update=changes)


def launches(medians_ms: Sequence[float], **changes: object) -> list[Launch]:
    """One launch a round."""
    return [launch(ms, number, **changes) for number, ms in enumerate(medians_ms)]


def host(**changes: object) -> Host:
    return records.host(**{"gpu_note": "none", "versions": {"deploybench": "1"}, **changes})


def gpu(name: str) -> Gpu:
    return Gpu(name=name, compute_capability="8.6", memory_bytes=24 << 30, driver="550")


def record(
    measured: Sequence[float] | Sequence[Launch],
    run: str = "before",
    *,
    machine: Host | None = None,
    versions: dict[str, str] | None = None,
    created: str = "2026-01-01T00:00:00",
    **cell: object,
) -> Record:
    """A record of those launch medians (ms) or launches; further arguments change its cell."""
    made = [
        item if isinstance(item, Launch) else launch(item, number)
        for number, item in enumerate(measured)
    ]
    asked = Cell(
        model="net",
        weights="random weights",
        weights_identity="random seed 0",
        image_size=(224, 224),
        backend="onnx",
        form="fp32-dynamic",
        runner="onnxruntime",
        device="cpu",
        precision="fp32",
        batch=1,
        threads=2,
        artifact="/a",
        artifact_key="k" * 64,
    ).model_copy(update=cell)
    summary = summarise(made, asked.batch)
    judgement = judge(made, summary, "deploybench run")
    shown = judgement.verdict.value not in ("INVALID", "FAILED")
    return Record(
        run=run,
        created=created,
        complete=True,
        profile="host",
        cell=asked,
        parameters=10**6,
        macs=10**9,
        artifact_bytes=4 << 20,
        peak_gflops=100.0,
        launches=tuple(made),
        summary=summary if shown else None,
        judgement=judgement,
        host=machine or host(),
        versions=versions or {"onnxruntime": "1.30"},
        command="deploybench run",
    )
