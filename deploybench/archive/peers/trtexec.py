"""trtexec --exportTimes: an array with one object a query, every time in ms.

Defined by ``exportJSONTrace`` of NVIDIA/TensorRT, samples/common/sampleReporting.cpp: starts and
ends of enqueue, copy in (h2d), compute and copy out (d2h), and their lengths. ``latencyMs`` is
h2dMs + computeMs + d2hMs by the device's events: what trtexec prints as "Latency". TensorRT 8.5 and
older write ``endToEndMs`` as well, and the queries of the warm-up among the others.

A profile of layers (--exportProfile) holds no time of a call and is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from deploybench.archive.imported import Imported
from deploybench.archive.peers.source import Numbers, Source, percentiles_of
from deploybench.statistics.samples import median

TOOL: Final = "trtexec"
LATENCY, COMPUTE = "latencyMs", "computeMs"
OLD_FORM = "endToEndMs"
EXPECTED = "what --exportTimes writes: a list of queries, each with latencyMs and computeMs"
ADDS_UP = 0.01
"""ms: times are written with six digits."""


def reads(source: Source) -> bool:
    """Whether it is a list of times, or the profile that is refused with its reason."""
    queries = source.json
    if not isinstance(queries, list) or not queries or not isinstance(queries[0], dict):
        return False
    return LATENCY in queries[0] or _is_profile(queries)


def results(source: Source) -> list[Imported]:
    """The one result. Raises DeployBenchError."""
    queries = source.json
    if not isinstance(queries, list) or not queries:
        source.refuse(TOOL, "it holds no query", EXPECTED)
    if _is_profile(queries):
        source.refuse(
            TOOL, "it is a profile of layers (--exportProfile), without a time of a call", EXPECTED
        )
    numbers = Numbers(source, TOOL)
    latencies = numbers.samples(_column(source, queries, LATENCY), LATENCY)
    computes = _column(source, queries, COMPUTE)
    told = {"queries": str(len(queries))}
    if all(value is not None for value in computes):
        told["median GPU compute time (ms)"] = f"{median(_computes(numbers, computes)):.6g}"
    _check_sums(source, numbers, queries)
    percentiles = percentiles_of(latencies)
    rate = _queries_per_s(numbers, queries)
    if rate is not None:
        told["throughput (queries/s)"] = f"{rate:.6g}"
    not_told = ["when it was measured", "host", "versions", "threads", "streams"]
    not_told += [name for name, value in _said(source).items() if value is None]
    if OLD_FORM in queries[0]:
        not_told.append("which queries are of the warm-up: this version writes them, too")
    batch = source.said.batch
    return [
        Imported(
            tool=TOOL,
            file=source.name,
            file_sha256=source.sha256,
            created=source.imported,
            imported=source.imported,
            model=source.said.model or source.stem,
            device=source.said.device or "gpu",
            precision=source.said.precision,
            batch=batch,
            times="a query on the device: copy in, compute, copy out (latencyMs)",
            samples_ms=latencies,
            samples=len(latencies),
            p50_ms=percentiles.p50,
            p90_ms=percentiles.p90,
            p95_ms=percentiles.p95,
            p99_ms=percentiles.p99,
            mean_ms=sum(latencies) / len(latencies),
            throughput_images_per_s=None if batch is None or rate is None else rate * batch,
            told=told,
            not_told=tuple(not_told),
        )
    ]


def _is_profile(queries: Sequence[Any]) -> bool:
    return isinstance(queries[0], dict) and "count" in queries[0] and LATENCY not in queries[0]


def _said(source: Source) -> dict[str, object]:
    said = source.said
    return {"model": said.model, "batch": said.batch, "precision": said.precision}


def _column(source: Source, queries: Sequence[Any], name: str) -> list[Any]:
    values = []
    for number, query in enumerate(queries):
        if not isinstance(query, dict):
            source.refuse(TOOL, f"its entry {number} is no query", EXPECTED)
        values.append(query.get(name))
    return values


def _computes(numbers: Numbers, values: list[Any]) -> tuple[float, ...]:
    return numbers.samples(values, COMPUTE)


def _check_sums(source: Source, numbers: Numbers, queries: Sequence[Any]) -> None:
    """Refuse a query whose parts do not add up: parts in another unit, or an edited file."""
    for number, query in enumerate(queries):
        parts = [numbers.number(query.get(name), name) for name in ("h2dMs", COMPUTE, "d2hMs")]
        latency = numbers.number(query.get(LATENCY), LATENCY)
        known = [part for part in parts if part is not None]
        if latency is None or len(known) < len(parts):
            continue
        if abs(sum(known) - latency) > max(ADDS_UP, 0.01 * latency):
            source.refuse(
                TOOL,
                f"latencyMs of query {number} is {latency:g}, and its parts add up to "
                f"{sum(known):g}",
                "latencyMs = h2dMs + computeMs + d2hMs, all in ms",
            )


def _queries_per_s(numbers: Numbers, queries: Sequence[Any]) -> float | None:
    """trtexec's own rule: queries over the time from the first copy in to the last copy out."""
    begin = numbers.number(queries[0].get("startH2dMs"), "startH2dMs")
    end = numbers.number(queries[-1].get("endD2hMs"), "endD2hMs")
    if begin is None or end is None or end <= begin:
        return None
    return numbers.rate(len(queries) / (end - begin) * 1e3, "queries per second")
