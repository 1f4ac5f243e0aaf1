"""LoadGen itself: settings in, one test, its verdict and every latency out.

The only module that imports it.

LoadGen hands its latencies to nobody, but it writes each into its trace: ``complete_ns`` of a
sample is the integer that its own percentiles are taken from. The trace is written by LoadGen's log
thread.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, JsonValue

from deploybench.documents import Document
from deploybench.scenarios.settings import Scenario, ScenarioSettings

NS_PER_S = 1_000_000_000
LOG_PREFIX = ":::MLLOG "
SAMPLE = re.compile(r'"name":"Sample".*"ph":"b".*"query_seq":(\d+).*"complete_ns":(\d+)')
NO_NUMBER = re.compile(r'"value": -?(nan|inf)')
"""What LoadGen writes for the rate of a single query; JSON has no such numbers."""
PERCENTILES = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")
OFFLINE_MARGIN = 1.2
"""LoadGen has to know the offline rate beforehand, or the test ends too early: this times the best
of warm-up."""
QUEUE_BOUNDS = 10
SMALLEST_QUEUE = 100
"""The server test ends when more queries wait than arrive within ten latency bounds: it cannot be
held any more."""
CHECKS = {
    "result_perf_constraints_met": "performance constraints",
    "result_min_duration_met": "min duration",
    "result_min_queries_met": "min queries",
    "early_stopping_met": "early stopping",
}
RATES = {
    Scenario.SINGLE_STREAM: "result_qps_with_loadgen_overhead",
    Scenario.SERVER: "result_completed_samples_per_sec",
    Scenario.OFFLINE: "result_samples_per_second",
}

EARLY_STOPPING_LATENCIES = {
    Scenario.SINGLE_STREAM: "early_stopping_latency_ss",
    Scenario.MULTI_STREAM: "early_stopping_latency_ms",
}

Issue = Callable[[Sequence[Any]], None]
"""Takes LoadGen's samples (``id``, ``index``) and returns at once or when they are answered."""


class LoadGenResult(Document):
    """What LoadGen said, in its words, and the latencies that it said it of."""

    version: str
    valid: bool
    unmet: tuple[str, ...] = Field(description="which of LoadGen's conditions are not satisfied")
    advice: tuple[str, ...] = Field(
        description="LoadGen's errors, recommendations and result of early stopping"
    )
    query_count: int
    rate_per_s: float | None = Field(
        description="queries (offline: images) per second: as issued in single-stream, as "
        "completed in the others; "
        "None in multi-stream, where LoadGen gives none"
    )
    scheduled_per_s: float | None = Field(
        description="mean arrivals per second that the generator drew; server only"
    )
    early_stopping_latency_ns: int | None = Field(
        description="LoadGen's estimate of the latency at the percentile with 99 % confidence; "
        "streams only"
    )
    percentiles_ns: dict[str, int] = Field(
        description="LoadGen's own, of queries (offline: of images)"
    )
    latencies_ns: tuple[int, ...] = Field(
        description="of every query (offline: of every image), in order of issue"
    )


def run_test(
    settings: ScenarioSettings, issue: Issue, *, images: int, expected_call_ns: float
) -> LoadGenResult:
    """Run one test over ``images`` images and return when its last query is answered.

    ``expected_call_ns`` is how long one instance takes for one batch at least; LoadGen prepares its
    queries by it.
    """
    import mlperf_loadgen

    with tempfile.TemporaryDirectory(prefix="deploybench-loadgen-") as folder:
        output = mlperf_loadgen.LogOutputSettings()
        output.outdir = folder
        log = mlperf_loadgen.LogSettings()
        log.log_output = output
        log.enable_trace = True
        system = mlperf_loadgen.ConstructSUT(issue, lambda: None)
        library = mlperf_loadgen.ConstructQSL(
            images, images, lambda indices: None, lambda indices: None
        )
        # a file of that name in the working directory would change the test
        no_audit = str(Path(folder) / "audit.config")
        test = _test_settings(settings, expected_call_ns)
        try:
            mlperf_loadgen.StartTestWithLogSettings(system, library, test, log, no_audit)
        finally:
            mlperf_loadgen.DestroyQSL(library)
            mlperf_loadgen.DestroySUT(system)
        return _read(Path(folder), settings.scenario)


def answer(identifiers: Sequence[int]) -> None:
    """Tell LoadGen that the samples with these ids are answered, now.

    May be called from any thread.
    """
    import mlperf_loadgen

    mlperf_loadgen.QuerySamplesComplete(
        [mlperf_loadgen.QuerySampleResponse(number, 0, 0) for number in identifiers]
    )


def _test_settings(settings: ScenarioSettings, expected_call_ns: float) -> Any:
    import mlperf_loadgen

    test = mlperf_loadgen.TestSettings()
    test.mode = mlperf_loadgen.TestMode.PerformanceOnly
    test.min_duration_ms = round(settings.min_duration_s * 1e3)
    test.max_duration_ms = round(settings.max_duration_s * 1e3)
    test.min_query_count = settings.min_queries
    test.qsl_rng_seed = settings.qsl_seed
    test.sample_index_rng_seed = settings.sample_index_seed
    test.schedule_rng_seed = settings.schedule_seed
    if settings.scenario is Scenario.SINGLE_STREAM:
        test.scenario = mlperf_loadgen.TestScenario.SingleStream
        test.single_stream_expected_latency_ns = max(1, round(expected_call_ns))
        test.single_stream_target_latency_percentile = settings.fraction
    elif settings.scenario is Scenario.MULTI_STREAM:
        calls = math.ceil(settings.samples_per_query / settings.batch)
        test.scenario = mlperf_loadgen.TestScenario.MultiStream
        test.multi_stream_expected_latency_ns = max(1, round(calls * expected_call_ns))
        test.multi_stream_target_latency_percentile = settings.fraction
        test.multi_stream_samples_per_query = settings.samples_per_query
    elif settings.scenario is Scenario.SERVER:
        assert settings.target_qps is not None
        assert settings.latency_bound_ms is not None
        arrivals = settings.target_qps * settings.latency_bound_ms / 1e3  # within one bound
        test.scenario = mlperf_loadgen.TestScenario.Server
        test.server_target_qps = settings.target_qps
        test.server_target_latency_ns = round(settings.latency_bound_ms * 1e6)
        test.server_target_latency_percentile = settings.fraction
        test.server_max_async_queries = max(SMALLEST_QUEUE, round(QUEUE_BOUNDS * arrivals))
    else:
        images_per_s = settings.instances * settings.batch * NS_PER_S / expected_call_ns
        test.scenario = mlperf_loadgen.TestScenario.Offline
        test.offline_expected_qps = OFFLINE_MARGIN * images_per_s
    return test


def _read(folder: Path, scenario: Scenario) -> LoadGenResult:
    """What the logs of one test say. They hold JSON values: the document checks their types."""
    log, errors = _read_detail(folder / "mlperf_log_detail.txt")

    # The multi-stream test calls the latency of a query by another name.
    latency = "latency"
    if scenario is Scenario.MULTI_STREAM:
        latency = "per_query_latency"
    percentiles = {name: log[f"result_{name}_percentile_{latency}_ns"] for name in PERCENTILES}

    return LoadGenResult.model_validate(
        {
            "version": str(log["loadgen_version"]).split(" ")[0],
            "valid": log["result_validity"] == "VALID",
            "unmet": tuple(check for key, check in CHECKS.items() if log.get(key) is False),
            "advice": _advice(log, errors),
            "query_count": log["result_query_count"],
            "rate_per_s": log.get(RATES.get(scenario, "")),
            "scheduled_per_s": log.get("result_scheduled_samples_per_sec"),
            "early_stopping_latency_ns": _early_stopping_latency(log, scenario),
            "percentiles_ns": percentiles,
            "latencies_ns": _read_trace(folder / "mlperf_log_trace.json", scenario),
        }
    )


def _advice(log: dict[str, JsonValue], errors: Sequence[str]) -> tuple[str, ...]:
    """LoadGen's sentences, each on one line: errors, why a result is invalid, early stopping."""
    early_stopping = str(log.get("early_stopping_result", "")).split(" * ")
    sentences = [*errors, str(log.get("result_invalid_reason", "")), *early_stopping]
    return tuple(" ".join(sentence.split()) for sentence in sentences if sentence.strip())


def _early_stopping_latency(log: dict[str, JsonValue], scenario: Scenario) -> JsonValue:
    key = EARLY_STOPPING_LATENCIES.get(scenario, "")
    return log.get(key) or None  # LoadGen writes 0 where it has too few queries


def _read_detail(path: Path) -> tuple[dict[str, JsonValue], list[str]]:
    """LoadGen's detail log: the value of every key, and what it logged as an error."""
    log: dict[str, JsonValue] = {}
    errors = []
    for line in path.read_text(errors="replace").splitlines():
        if not line.startswith(LOG_PREFIX):
            continue
        entry = json.loads(NO_NUMBER.sub('"value": null', line[len(LOG_PREFIX) :]))
        log[entry["key"]] = entry["value"]
        if entry["metadata"]["is_error"]:
            errors.append(str(entry["value"]))
    return log, errors


def _read_trace(path: Path, scenario: Scenario) -> tuple[int, ...]:
    """The latencies in the trace, in ns: of every image offline, else of every query.

    A query is answered when its slowest image is.
    """
    samples: list[tuple[int, int]] = []
    with path.open() as lines:
        for line in lines:
            match = SAMPLE.search(line)
            if match is not None:
                samples.append((int(match[1]), int(match[2])))
    if scenario is Scenario.OFFLINE:
        return tuple(latency for _, latency in samples)
    slowest: dict[int, int] = {}
    for query, latency in samples:
        slowest[query] = max(latency, slowest.get(query, 0))
    return tuple(slowest[query] for query in sorted(slowest))
