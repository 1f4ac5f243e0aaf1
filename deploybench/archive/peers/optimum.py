"""optimum-benchmark: ``benchmark.json`` (config and report) and ``benchmark_report.json``.

Defined by huggingface/optimum-benchmark, optimum_benchmark/trackers/latency.py (``Latency``: unit
"s", every value), memory.py (``Memory``: unit "MB" of 1e6 bytes), energy.py ("kWh") and
benchmark/report.py. What is timed of a vision model is ``forward``, of a pipeline ``call``; what
generates tokens has no time of a call and is refused. The percentiles there are interpolated
(NumPy's); those here are computed from the values again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deploybench.archive.imported import Imported
from deploybench.archive.peers.source import (
    Numbers,
    Source,
    mapping,
    percentiles_of,
    text_of,
    words_of,
)

TOOL: Final = "optimum-benchmark"
TIMED = ("forward", "call")
OTHERS = ("generate", "prefill", "decode", "per_token", "train", "load", "load_model")
LOADS = ("load_model", "load")
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
EXPECTED = "benchmark.json or benchmark_report.json, with the latency of forward or call"
RATES = ("samples/s", "images/s")
CUDA = "cuda"


def reads(source: Source) -> bool:
    """Whether it is a report, a configuration, or both."""
    report, config = _parts(source.json)
    phases = (*TIMED, *OTHERS)
    timed = any("latency" in mapping(report.get(phase)) for phase in phases)
    return timed or ("backend" in config and "launcher" in config)


def results(source: Source) -> list[Imported]:
    """The one result. Raises DeployBenchError."""
    report, config = _parts(source.json)
    phase = next((name for name in TIMED if mapping(report.get(name)).get("latency")), None)
    if phase is None:
        there = ", ".join(name for name in OTHERS if name in report)
        problem = f"it times {there} alone" if there else "it holds a configuration alone"
        source.refuse(TOOL, problem, EXPECTED)
    numbers = Numbers(source, TOOL)
    timed = mapping(report[phase])
    latency = mapping(timed["latency"])
    _check_unit(source, latency.get("unit"), ("s",), f"{phase}.latency")
    times = numbers.samples(latency.get("values"), f"{phase}.latency.values", 1e3)
    if not times:
        source.refuse(TOOL, f"{phase}.latency.values is empty", EXPECTED)
    mean_ms = numbers.ms(latency.get("mean"), f"{phase}.latency.mean", 1e3)
    numbers.check_mean(times, mean_ms, f"{phase}.latency.mean")
    percentiles = percentiles_of(times)

    backend = mapping(config.get("backend"))
    scenario = mapping(config.get("scenario")) or mapping(config.get("benchmark"))
    environment = mapping(config.get("environment"))
    said = source.said
    model = text_of(backend.get("model")) or said.model
    batch = numbers.count(mapping(scenario.get("input_shapes")).get("batch_size"), "batch_size")
    written = backend.get("torch_dtype") or backend.get("dtype")
    precision = PRECISIONS.get(written) if isinstance(written, str) else None
    device = text_of(backend.get("device")) or said.device
    known = {
        "model": model,
        "batch": batch or said.batch,
        "precision": precision or said.precision,
        "device": device,
        "host": text_of(environment.get("cpu")),
    }
    return [
        Imported(
            tool=TOOL,
            tool_version=text_of(environment.get("optimum_benchmark_version")),
            file=source.name,
            file_sha256=source.sha256,
            created=source.imported,
            imported=source.imported,
            model=model or source.stem,
            device=device,
            precision=precision or said.precision,
            batch=batch or said.batch,
            threads=numbers.count(backend.get("intra_op_num_threads"), "intra_op_num_threads"),
            host=text_of(environment.get("cpu")),
            times=_times(phase, backend),
            samples_ms=times,
            samples=len(times),
            p50_ms=percentiles.p50,
            p90_ms=percentiles.p90,
            p95_ms=percentiles.p95,
            p99_ms=percentiles.p99,
            mean_ms=sum(times) / len(times),
            throughput_images_per_s=_throughput(source, numbers, timed, phase),
            load_s=_load_s(source, numbers, report),
            device_memory_mib=_device_memory(source, numbers, timed, phase),
            told=_told(backend, environment, timed),
            not_told=("when it was measured", *(name for name in known if known[name] is None)),
        )
    ]


def _parts(document: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The report and the configuration, in whichever of the three files."""
    whole = mapping(document)
    if "report" in whole and "config" in whole:
        return mapping(whole["report"]), mapping(whole["config"])
    return whole, whole


def _times(phase: str, backend: Mapping[str, Any]) -> str:
    if (backend.get("name"), backend.get("device")) == ("pytorch", CUDA):
        return f"{phase}, by CUDA events"
    return f"{phase}, by the host's clock"


def _throughput(
    source: Source, numbers: Numbers, timed: Mapping[str, Any], phase: str
) -> float | None:
    throughput = mapping(timed.get("throughput"))
    if not throughput:
        return None
    _check_unit(source, throughput.get("unit"), RATES, f"{phase}.throughput")
    return numbers.rate(throughput.get("value"), f"{phase}.throughput.value")


def _load_s(source: Source, numbers: Numbers, report: Mapping[str, Any]) -> float | None:
    for name in LOADS:
        latency = mapping(mapping(report.get(name)).get("latency"))
        if latency:
            _check_unit(source, latency.get("unit"), ("s",), f"{name}.latency")
            load_ms = numbers.ms(latency.get("mean"), f"{name}.latency.mean", 1e3)
            return None if load_ms is None else load_ms / 1e3
    return None


def _device_memory(
    source: Source, numbers: Numbers, timed: Mapping[str, Any], phase: str
) -> float | None:
    """Of the process on the GPU. Their MB are of 1e6 bytes."""
    memory = mapping(timed.get("memory"))
    if memory.get("max_process_vram") is None:
        return None
    _check_unit(source, memory.get("unit"), ("MB",), f"{phase}.memory")
    megabytes = numbers.number(memory["max_process_vram"], f"{phase}.memory.max_process_vram")
    if not megabytes:
        return None
    if not 0 < megabytes < 1e9:
        source.refuse(TOOL, f"{phase}.memory.max_process_vram is {megabytes:g}", "megabytes")
    return megabytes * 1e6 / (1 << 20)


def _told(
    backend: Mapping[str, Any], environment: Mapping[str, Any], timed: Mapping[str, Any]
) -> dict[str, str]:
    """What has no column of ours: their RSS is of the whole process, their energy of all phases."""
    gpus = environment.get("gpu")
    memory, energy = mapping(timed.get("memory")), mapping(timed.get("energy"))
    return words_of(
        {
            "backend": backend.get("name"),
            "backend version": backend.get("version"),
            "task": backend.get("task"),
            "GPU": ", ".join(map(str, gpus)) if isinstance(gpus, list) else gpus,
            "largest RSS (MB)": memory.get("max_ram"),
            "energy (kWh)": energy.get("total"),
        }
    )


def _check_unit(source: Source, unit: object, known: tuple[str, ...], field: str) -> None:
    if unit not in known:
        source.refuse(TOOL, f"{field} is in {unit!r}"[:80], f"the unit {' or '.join(known)}")
