"""OpenVINO's benchmark_app: ``benchmark_report.csv`` and, with -json_stats, ``.json``.

Defined by openvinotoolkit/openvino: the Python tool's tools/benchmark/main.py and
utils/statistics_report.py, the C++ sample's samples/cpp/benchmark_app/main.cpp. Both write the same
three parts (command line, configuration, results) under names that differ; times are in ms,
the throughput in images per second. Three traps:

- with -latency_percentile the latency is that percentile: the Python tool says so in its name, the
  C++ sample's JSON in ``percentile_boundary`` beside a ``latency_median`` that is none;
- the Python tool writes two digits after the point, so that 0.00 is a short call;
- ``precision`` is that of the input (C++), or UNSPECIFIED (Python), never what is computed in.

Its samples are in no file, so that nothing can be computed from them. A report of layers
(average_counters, detailed_counters) holds no time of a call and is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from deploybench.archive.imported import Imported, PercentileMs
from deploybench.archive.peers.source import Numbers, Source, mapping, shown, text_of, words_of

TOOL: Final = "benchmark_app"
EXPECTED = "benchmark_report.csv or benchmark_report.json, which -report_type writes"
CONFIGURATION, RESULTS = "configuration_setup", "execution_results"
TITLES = {
    "Command line parameters": "cmd_options",
    "Configuration setup": CONFIGURATION,
    "Execution results": RESULTS,
    "Group Latencies": "group_latencies",
}
"""The parts of a CSV by the line that begins each."""
MEDIANS = ("latency (ms)", "Median latency (ms)", "latency_median")
BOUNDARIES = ("percentile_boundary", "Percentile boundary")
AVERAGES = ("avg latency", "Average latency (ms)", "latency_avg")
NAMED_PERCENTILE = re.compile(r"latency \((\d{1,3}) percentile\) \(ms\)")
STREAMS = re.compile(r"number of (.{1,60}) streams|(.{1,60})_streams_num")
LAYERS = ("layerName", "report_type")
GROUPS = ("group", "group_latencies")
KEPT = {"p50": 50, "p90": 90, "p95": 95, "p99": 99}
Part = Mapping[str, object]


def reads(source: Source) -> bool:
    """Whether it is a report of either form, or one of layers that is refused with its reason."""
    document = source.json
    if isinstance(document, dict):
        layers = "report_type" in document and any("performance" in name for name in document)
        return layers or RESULTS in document or CONFIGURATION in document
    first = source.text.lstrip().partition("\n")[0].strip()
    return first in TITLES or first.startswith(LAYERS[0])


def results(source: Source) -> list[Imported]:
    """The one result. Raises DeployBenchError."""
    configuration, executed = _parts(source)
    if executed.get("error"):
        source.refuse(
            TOOL, f"its run ended with an error: {shown(executed['error'])}", "a finished run"
        )
    numbers = Numbers(source, TOOL)
    percentiles, rounded = _percentiles(source, numbers, executed)
    rate = _rate(numbers, executed)
    if rate is None and percentiles == PercentileMs():
        source.refuse(TOOL, "it has neither a latency nor a throughput", EXPECTED)
    said = source.said
    # The topology is the graph's own name, often "Model1" or "main_graph": the user's is better.
    model = said.model or text_of(configuration.get("topology"))
    batch = _batch(configuration) or said.batch
    device = _device(configuration) or said.device
    not_told = ["when it was measured", "host", "versions", "threads", "samples"]
    known = {"model": model, "batch": batch, "device": device, "precision": said.precision}
    not_told += [name for name, value in known.items() if value is None]
    if rounded:
        not_told.append("latency: written as 0.00")
    return [
        Imported(
            tool=TOOL,
            file=source.name,
            file_sha256=source.sha256,
            created=source.imported,
            imported=source.imported,
            model=model or source.stem,
            device=device,
            precision=said.precision,
            batch=batch,
            streams=_streams(numbers, configuration),
            times=_times(configuration),
            samples=numbers.count(
                _first(executed, ("total number of iterations", "iterations_num")), "iterations"
            ),
            p50_ms=percentiles.p50,
            p90_ms=percentiles.p90,
            p95_ms=percentiles.p95,
            p99_ms=percentiles.p99,
            mean_ms=_mean(numbers, executed),
            throughput_images_per_s=rate,
            load_s=_load_s(numbers, executed),
            first_inference_ms=_short(
                numbers,
                _first(executed, ("first inference time (ms)", "first_inference_time")),
                "first inference time",
            ),
            told=_told(configuration, executed),
            not_told=tuple(not_told),
        )
    ]


def _parts(source: Source) -> tuple[Part, Part]:
    """The configuration and the results."""
    document = source.json
    if isinstance(document, dict):
        if RESULTS not in document:
            source.refuse(TOOL, "it has no execution_results", EXPECTED)
        return mapping(document.get(CONFIGURATION)), mapping(document[RESULTS])
    lines = [line.strip() for line in source.text.splitlines()]
    if any(line.startswith(LAYERS[0]) for line in lines[:3]):
        source.refuse(TOOL, "it is a report of layers, without a time of a call", EXPECTED)
    parts: dict[str, dict[str, object]] = {}
    part: dict[str, object] = {}
    for line in lines:
        if line in TITLES:
            part = parts.setdefault(TITLES[line], {})
            continue
        name, separator, value = line.partition(";")
        if separator:
            # A second value of that name is of a group of shapes: the first is of all.
            part.setdefault(name, value)
    if RESULTS not in parts:
        source.refuse(TOOL, "it has no part 'Execution results'", EXPECTED)
    return parts.get(CONFIGURATION, {}), parts[RESULTS]


def _percentiles(source: Source, numbers: Numbers, executed: Part) -> tuple[PercentileMs, bool]:
    """The one percentile that there is, and whether it was rounded to nothing."""
    boundary = 50
    value = _first(executed, MEDIANS)
    for name in executed:
        named = NAMED_PERCENTILE.fullmatch(name)
        if named is not None:
            boundary, value = int(named[1]), executed[name]
    said = numbers.count(_first(executed, BOUNDARIES), "percentile_boundary")
    if said is not None:
        boundary = said
    if boundary > 100:
        source.refuse(TOOL, f"its percentile is {boundary}", "a percentile of up to 100")
    time_ms = _short(numbers, value, "latency")
    rounded = value is not None and time_ms is None
    return (
        PercentileMs(
            p50=time_ms if boundary == KEPT["p50"] else None,
            p90=time_ms if boundary == KEPT["p90"] else None,
            p95=time_ms if boundary == KEPT["p95"] else None,
            p99=time_ms if boundary == KEPT["p99"] else None,
        ),
        rounded,
    )


def _short(numbers: Numbers, value: object, field: str) -> float | None:
    """A time, or None for 0.00: what is too short for two digits is not known."""
    if numbers.number(value, field) == 0:
        return None
    return numbers.ms(value, field)


def _rate(numbers: Numbers, executed: Part) -> float | None:
    """Images per second; None for 0.00."""
    value = executed.get("throughput")
    if numbers.number(value, "throughput") == 0:
        return None
    return numbers.rate(value, "throughput")


def _mean(numbers: Numbers, executed: Part) -> float | None:
    """The average of all calls. With groups of shapes the JSON has that of the last group."""
    if any(name in executed for name in GROUPS):
        return None
    return _short(numbers, _first(executed, AVERAGES), "average latency")


def _load_s(numbers: Numbers, executed: Part) -> float | None:
    """To compile the model, or to load a compiled one."""
    names = ("compile model time (ms)", "compile_model_time", "load_network_time")
    load_ms = _short(numbers, _first(executed, names), "compile model time")
    return None if load_ms is None else load_ms / 1e3


def _batch(configuration: Part) -> int | None:
    """The batch; of a model with free sizes it may be several, or none."""
    written = str(_first(configuration, ("batch size", "batch_size")) or "").strip()
    if not written.isascii() or not written.isdigit() or len(written) > 9:
        return None
    return int(written) or None


def _device(configuration: Part) -> str | None:
    written = text_of(_first(configuration, ("target device", "target_device")))
    return None if written is None else written.lower()


def _streams(numbers: Numbers, configuration: Part) -> int | None:
    """Of the only device; of several none is the number of streams."""
    found = [value for name, value in configuration.items() if STREAMS.fullmatch(name)]
    if len(found) != 1 or not str(found[0]).strip().isdigit():
        return None
    return numbers.count(found[0], "number of streams")


def _times(configuration: Part) -> str:
    api = text_of(_first(configuration, ("API", "api"))) or "?"
    requests = _first(configuration, ("number of parallel infer requests", "nireq"))
    mode = str(_first(configuration, ("inference_only", "benchmark_mode")))
    scope = "inference only" if mode in ("True", "inference only") else "with filling the inputs"
    words = f"an infer request, {api}"
    if requests is not None and api != "sync":
        words += f", {str(requests)[:20]} at a time: waiting for cores is in it"
    return f"{words}; {scope}"


def _told(configuration: Part, executed: Part) -> dict[str, str]:
    return words_of(
        {
            "topology": configuration.get("topology"),
            "API": _first(configuration, ("API", "api")),
            "parallel infer requests": _first(
                configuration, ("number of parallel infer requests", "nireq")
            ),
            "precision (of the input)": configuration.get("precision"),
            "min latency (ms)": _first(
                executed, ("min latency", "Min latency (ms)", "latency_min")
            ),
            "max latency (ms)": _first(
                executed, ("max latency", "Max latency (ms)", "latency_max")
            ),
            "duration (ms)": _first(executed, ("total execution time (ms)", "execution_time")),
        }
    )


def _first(part: Part, names: Sequence[str]) -> object:
    """The value under the first of the names that there is."""
    return next((part[name] for name in names if name in part), None)
