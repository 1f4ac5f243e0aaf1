"""MLPerf LoadGen: ``mlperf_log_summary.txt`` and ``mlperf_log_detail.txt``.

Defined by mlcommons/inference, loadgen/results.cc (the summary, and the keys of the detail log) and
logging.cc (lines of ``:::MLLOG`` and JSON). Latencies are in ns. What they span depends on the
scenario: of SingleStream a query of one sample; of MultiStream a query of ``samples_per_query``; of
Server the wait for a turn is in them; of Offline all samples are issued at once, so that a
"latency" is a place in the queue, and only the rate is kept.

Neither file says which model it was. VALID and INVALID are LoadGen's, of its own conditions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from deploybench.archive.imported import Imported, PercentileMs
from deploybench.archive.peers.source import Numbers, Source, shown, text_of, words_of
from deploybench.scenarios.loadgen import LOG_PREFIX, NO_NUMBER

TOOL: Final = "mlperf"
TITLE = "MLPerf Results Summary"
NS = 1e-6
EXPECTED = "mlperf_log_summary.txt or mlperf_log_detail.txt of a performance run"
PERFORMANCE = "PerformanceOnly"
SINGLE, MULTI, SERVER, OFFLINE = "SingleStream", "MultiStream", "Server", "Offline"
TIMES = {
    SINGLE: "a query of one sample, one after the other",
    MULTI: "a query of several samples, one query after the other",
    SERVER: "a query of one sample as it arrives: waiting for its turn is in it",
    OFFLINE: "all samples at once: a rate, and no latency",
}
RATES = {
    SINGLE: ("QPS w/ loadgen overhead", "result_qps_with_loadgen_overhead"),
    SERVER: ("Completed samples per second", "result_completed_samples_per_sec"),
    OFFLINE: ("Samples per second", "result_samples_per_second"),
}
ENTRY = re.compile(r"\s*([^:]{1,80}?)\s*:\s*(.{0,200}?)\s*")
TOO_LARGE = re.compile(r"^-?(nan|inf)$", re.IGNORECASE)
Log = Mapping[str, object]


def reads(source: Source) -> bool:
    """Whether it is one of the two logs."""
    head = source.text.lstrip()[:2000]
    return head.startswith(LOG_PREFIX) or TITLE in head


def results(source: Source) -> list[Imported]:
    """The one result. Raises DeployBenchError."""
    detail = source.text.lstrip().startswith(LOG_PREFIX)
    log = _detail(source) if detail else _summary(source)
    numbers = Numbers(source, TOOL)
    scenario = str(_of(log, "Scenario", "effective_scenario", "requested_scenario"))
    mode = _of(log, "Mode", "effective_test_mode", "requested_test_mode")
    if scenario not in TIMES:
        source.refuse(TOOL, f"its scenario is {shown(scenario)}", f"one of {', '.join(TIMES)}")
    if mode != PERFORMANCE:
        source.refuse(TOOL, f"its mode is {shown(mode)}", EXPECTED)
    validity = text_of(_of(log, "Result is", "result_validity"))
    if validity is None:
        source.refuse(TOOL, "it has no result: the test did not end", EXPECTED)
    percentiles, mean_ms = _latencies(numbers, log, scenario)
    numbers.check_ascending(percentiles)
    rate = None
    if scenario in RATES:
        rate = numbers.rate(_number(_of(log, *RATES[scenario])), f"rate of {scenario}")
    if rate is None and percentiles.p50 is None:
        source.refuse(TOOL, "it has neither a latency nor a rate", EXPECTED)
    per_query = numbers.count(
        _of(log, "samples_per_query", "generated_samples_per_query"), "samples per query"
    )
    said = source.said
    known = {
        "model": said.model,
        "precision": said.precision,
        "device": said.device,
        "batch": said.batch,
    }
    not_told = ["host", "threads", "samples"]
    not_told += [name for name, value in known.items() if value is None]
    created = _moment(log)
    if created is None:
        not_told.append("when it was measured")
    version = text_of(log.get("loadgen_version"))
    queries = numbers.count(log.get("result_query_count"), "result_query_count")
    return [
        Imported(
            tool=TOOL,
            tool_version=None if version is None else f"LoadGen {version.split(' ')[0]}",
            file=source.name,
            file_sha256=source.sha256,
            created=created or source.imported,
            imported=source.imported,
            model=said.model or source.stem,
            device=said.device,
            precision=said.precision,
            batch=said.batch,
            times=TIMES[scenario],
            samples=None if scenario == OFFLINE else queries,
            p50_ms=percentiles.p50,
            p90_ms=percentiles.p90,
            p95_ms=percentiles.p95,
            p99_ms=percentiles.p99,
            mean_ms=mean_ms,
            throughput_images_per_s=rate,
            tool_says=validity,
            told=words_of(
                {
                    "scenario": scenario,
                    "samples per query": per_query,
                    "system under test": _of(log, "SUT name", "sut_name"),
                }
            ),
            not_told=tuple(not_told),
        )
    ]


def _summary(source: Source) -> dict[str, object]:
    """The lines "name : value" of the summary; the first of a name counts."""
    if TITLE not in source.text:
        source.refuse(TOOL, f"it has no line {TITLE!r}", EXPECTED)
    log: dict[str, object] = {}
    for line in source.text.splitlines():
        entry = ENTRY.fullmatch(line[:400])
        if entry is not None:
            log.setdefault(entry[1], entry[2])
    return log


def _detail(source: Source) -> dict[str, object]:
    """The value of every key of the detail log."""
    log: dict[str, object] = {}
    for number, line in enumerate(source.text.splitlines(), start=1):
        if not line.startswith(LOG_PREFIX):
            continue
        text = NO_NUMBER.sub('"value": null', line[len(LOG_PREFIX) :])
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            source.refuse(TOOL, f"its line {number} is broken off, or no JSON", EXPECTED)
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            source.refuse(TOOL, f"its line {number} has no key", EXPECTED)
        log[entry["key"]] = entry.get("value")
    return log


def _latencies(numbers: Numbers, log: Log, scenario: str) -> tuple[PercentileMs, float | None]:
    """LoadGen's percentiles and mean in ms; none offline."""
    if scenario == OFFLINE:
        return PercentileMs(), None
    kind = "per_query_latency" if scenario == MULTI else "latency"
    found = []
    for percentile in ("50.00", "90.00", "95.00", "99.00"):
        value = _of(
            log,
            f"{percentile} percentile latency (ns)",
            f"result_{percentile}_percentile_{kind}_ns",
        )
        found.append(numbers.ms(_number(value), f"{percentile} percentile latency", NS))
    # Of MultiStream "result_mean_latency_ns" is that of a sample.
    mean = _of(log, "Mean latency (ns)", "result_mean_query_latency_ns", "result_mean_latency_ns")
    return PercentileMs(*found), numbers.ms(_number(mean), "mean latency", NS)


def _moment(log: Log) -> str | None:
    """When the test began, as ISO 8601 in UTC: only the detail log has it."""
    moment = text_of(log.get("test_datetime"))
    if moment is None or not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment):
        return None
    return moment.replace("Z", "+00:00")


def _number(value: object) -> object:
    """The value; nothing for what C++ writes of the rate of a single query."""
    if isinstance(value, str) and TOO_LARGE.match(value):
        return None
    return value


def _of(log: Log, *names: str) -> object:
    """The value under the first of the names that there is."""
    return next((log[name] for name in names if name in log), None)
