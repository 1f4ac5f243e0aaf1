"""Launches and records made of given samples, for tests of what is computed from them."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.parity import ParityReport
from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host
from deploybench.results.cell import Cell
from deploybench.results.launch import Facts, Launch, MemoryPhases, Probes, Surroundings
from deploybench.results.record import Record

MS = 1_000_000


def launch(
    samples_ms: Sequence[float], *, number: int = 0, hop_ns: float | None = None, **changes: object
) -> Launch:
    samples = tuple(int(sample * MS) for sample in samples_ms)
    memory = MemoryPhases(
        baseline_bytes=50 << 20,
        imported_bytes=60 << 20,
        loaded_bytes=90 << 20,
        compiled_bytes=90 << 20,
        first_inference_bytes=95 << 20,
        setup_peak_bytes=150 << 20,
        peak_bytes=120 << 20,
    )
    made = Launch(
        round=number,
        seconds=2.0,
        facts=Facts(precision="fp32", threads=2, provider="test", device="cpu"),
        parity=parity(),
        start_s=0.3,
        import_s=0.1,
        load_s=0.2,
        compile_s=0.05,
        first_inference_ms=50.0,
        samples_ns=samples,
        window_ns=sum(samples) + 1,
        window_cpu_ns=2 * sum(samples),
        memory=memory,
        surroundings=surroundings(hop_ns),
    )
    return made.model_copy(update=changes)


def surroundings(
    hop_ns: float | None = None, after_ns: float | None = None, **changes: object
) -> Surroundings:
    """A calm machine whose hop probe read ``hop_ns`` before the launch and, unless told otherwise,
    after it."""
    probes = [
        Probes(compute_us=41.0, memory_ms=3.2, hop_ns=hop) for hop in (hop_ns, after_ns or hop_ns)
    ]
    made = Surroundings(
        before=probes[0], after=probes[1], cpus=2, foreign_cpu_share=0.0, steal_share=0.0
    )
    return made.model_copy(update=changes)


def parity(*, passed: bool = True, reason: str = "within budget") -> ParityReport:
    return ParityReport(
        passed=passed,
        precision="fp32",
        max_error=1e-6,
        budget_error=2e-3,
        cosine=1.0,
        budget_cosine=0.9999,
        top1_agreement=1.0,
        spread=1.0,
        images=4,
        reason=reason,
        budget_reason="test",
    )


def host(**changes: object) -> Host:
    made = Host(
        hostname="here",
        cpu_model="AMD EPYC",
        cpu_vendor="AuthenticAMD",
        isa=("avx2",),
        physical_cores=2,
        logical_cores=2,
        usable_cores=2,
        memory_bytes=24 << 30,
        virtual_machine=True,
        governor=None,
        os="test",
        kernel="6",
        python="3.11",
        gpus=(),
        gpu_note="no NVIDIA driver",
        versions={"torch": "2"},
        load_1m=0.1,
    )
    return made.model_copy(update={"gpu_note": None, **changes} if "gpus" in changes else changes)


def gpu(name: str, capability: str, driver: str = "580.95.05", **changes: object) -> Gpu:
    made = Gpu(name=name, compute_capability=capability, memory_bytes=12 << 30, driver=driver)
    return made.model_copy(update=changes)


def cell(**changes: object) -> Cell:
    made = Cell(
        model="net",
        weights="random weights",
        weights_identity="random seed 0",
        image_size=(224, 224),
        backend="pytorch",
        form="fp32-dynamic",
        runner="pytorch",
        device="cpu",
        precision="fp32",
        batch=1,
        threads=2,
        artifact="/a",
        artifact_key="k" * 64,
    )
    return made.model_copy(update=changes)


def record(
    launches: Sequence[Launch],
    *,
    macs: int | None = 10**9,
    complete: bool = True,
    **changes: object,
) -> Record:
    asked = cell(**changes)
    summary = summarise(launches, asked.batch)
    judgement = judge(launches, summary, "deploybench run")
    shown = judgement.verdict.value not in ("INVALID", "FAILED")
    return Record(
        run="20260101-000000-aaaa",
        created="2026-01-01T00:00:00",
        complete=complete,
        profile="host",
        cell=asked,
        parameters=10**6,
        macs=macs,
        artifact_bytes=4 << 20,
        peak_gflops=100.0,
        launches=tuple(launches),
        summary=summary if shown else None,
        judgement=judgement,
        host=host(),
        versions={"torch": "2"},
        command="deploybench run",
    )
