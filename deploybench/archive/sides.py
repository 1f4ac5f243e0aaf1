"""One side of a comparison between runs, a line a record: what the bulk comparison reads.

``basis`` says how the line is compared: ``launches`` (all in one state of the machine, none
disturbed) and ``visits`` (with a canary) in bulk, ``none`` has no number, and ``whole`` stands for
everything that takes the whole record: several states, launches left out, visits without a canary.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from deploybench.archive.extra import needed
from deploybench.archive.lean import LeanHistogram, LeanLaunch, LeanProbes, LeanRecord
from deploybench.children.environment import in_words, said_of
from deploybench.hardware.devices import CPU
from deploybench.results.cell import HOST_TO_HOST, Cell, CellOptions
from deploybench.results.launch import Histogram

if TYPE_CHECKING:
    import pyarrow

LAUNCHES, VISITS, NONE, WHOLE = "launches", "visits", "none", "whole"
NO_CANARY = "no canary"
NO_PROBES: LeanProbes = {}
IDENTITY = (
    "model",
    "weights_identity",
    "image_size",
    "patch_size",
    "backend",
    "runner",
    "device",
    "precision",
    "batch",
    "threads",
    "image",
    "form",
    "streams",
    "timing",
    *CellOptions.declared(),
)
"""The fields of a cell that tell it from others: those of ``Cell.identity``."""
USUAL_FROM = IDENTITY.index("streams")
USUAL = (1, HOST_TO_HOST, *CellOptions().option_values.values())
"""What goes without saying in a cell's title, in the order of the identity from there on."""

TEXTS = (
    "origin",
    "run",
    "created",
    "profile",
    "cell",
    "thing",
    "title",
    "weights",
    "model",
    "runner",
    "device",
    "host",
    "hardware",
    "own_version",
    "environment",
    "ran_precision",
    "basis",
    "verdict",
    "reason",
)
NUMBERS = (
    "p50_ms",
    "p50_low_ms",
    "p50_high_ms",
    "canary_compute_us",
    "canary_memory_us",
    "hop_low_ns",
    "hop_high_ns",
)
COUNTS = ("count", "canary_threads")
LISTS = ("launch_medians_ms", "probe_compute_us", "probe_memory_ms")
COLUMNS = (*TEXTS, *NUMBERS, *COUNTS, "known", *LISTS)


@cache
def sides_schema() -> Any:
    """The columns of a table of sides."""
    arrow = needed("pyarrow")
    return arrow.schema(
        [
            *((name, arrow.string()) for name in TEXTS),
            *((name, arrow.float64()) for name in NUMBERS),
            *((name, arrow.int64()) for name in COUNTS),
            ("known", arrow.bool_()),
            *((name, arrow.list_(arrow.float64())) for name in LISTS),
        ]
    )


def sides_table(records: Iterable[tuple[str, LeanRecord]]) -> pyarrow.Table:
    """The sides of records that were timed, each with what its record is found by."""
    lines = []
    for origin, record in records:
        if record.get("measures", "time") == "time":
            side = side_of(origin, record)
            lines.append([side.get(name) for name in COLUMNS])
    columns = dict(zip(COLUMNS, zip(*lines, strict=True), strict=True)) if lines else {}
    return needed("pyarrow").table(
        {name: columns.get(name, ()) for name in COLUMNS}, schema=sides_schema()
    )


def side_of(origin: str, record: LeanRecord) -> dict[str, object]:
    """The line of one record, by column; what is not there is unknown."""
    cell, host = record["cell"], record["host"]
    hardware = [host["cpu_model"], f"{host['usable_cores']} usable cores"]
    if cell.device != CPU:
        hardware += [gpu["name"] for gpu in host["gpus"]]
    environment = host.get("environment_kept")
    identity = identity_of(cell)
    own_version = host["versions"].get("deploybench", "unknown")
    # What two runs share whose times differ by the shift of whole runs alone.
    thing = (
        identity,
        cell.artifact_key,
        host["hostname"],
        hardware,
        own_version,
        sorted(record["versions"].items()),
    )
    return {
        "origin": origin,
        "run": record["run"],
        "created": record["created"],
        "profile": record["profile"],
        "cell": _digest(identity),
        "thing": _digest(thing),
        "title": _title(cell, identity),
        "weights": cell.weights,
        "model": cell.model,
        "runner": cell.runner,
        "device": cell.device,
        "host": host["hostname"],
        "hardware": ", ".join(hardware),
        "own_version": own_version,
        "environment": None if environment is None else in_words(said_of(environment)),
        **_measured(record),
    }


def identity_of(cell: Cell) -> tuple[object, ...]:
    """What is equal for two records of one cell, and for no others."""
    return tuple([getattr(cell, name) for name in IDENTITY])


def cell_key(cell: Cell) -> str:
    """The same in 32 characters."""
    return _digest(identity_of(cell))


def _title(cell: Cell, identity: tuple[object, ...]) -> str:
    """``cell.title()``, which takes its time, found at once for a cell where all is as usual."""
    if identity[USUAL_FROM:] != USUAL or cell.device != CPU:
        return cell.title()
    return f"{cell.model} {cell.runner} {cell.precision} batch {cell.batch}"


def _digest(identity: Sequence[object]) -> str:
    # Of texts, numbers and lists of them repr writes the same everywhere, faster than JSON.
    return hashlib.sha256(repr(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _measured(record: LeanRecord) -> dict[str, object]:
    """What the record knows of its time, and how that is compared."""
    summary, judgement = record["summary"], record["judgement"]
    if summary is None:
        return {
            "basis": NONE,
            "verdict": judgement.verdict.value,
            "reason": judgement.reason,
        }
    if not summary["states"]:
        return {"basis": WHOLE, "verdict": judgement.verdict.value, "reason": judgement.reason}
    state = summary["states"][0]
    shown: dict[str, object] = {
        "basis": WHOLE,
        "verdict": state["judgement"].verdict.value,
        "reason": state["judgement"].reason,
        "p50_ms": state["p50_ms"],
        "p50_low_ms": state["p50_low_ms"],
        "p50_high_ms": state["p50_high_ms"],
        "count": state["launches"],
        "ran_precision": _ran_precision(record["launches"]),
    }
    visited, canary = state.get("visited"), record.get("canary")
    if visited is not None:
        if visited["basis"] != NO_CANARY and len(summary["states"]) == 1:
            shown |= {"basis": VISITS, "known": visited["known"], "count": visited["visits"]}
        if state["hop_ns"] is not None:
            shown |= {"hop_low_ns": state["hop_ns"], "hop_high_ns": state["hop_ns"]}
        if canary is not None:
            shown |= {
                "canary_threads": canary["threads"],
                "canary_compute_us": canary["compute_us"],
                "canary_memory_us": canary["memory_us"],
            }
        return shown
    measured = [launch for launch in record["launches"] if launch.get("samples_ns")]
    in_one_state = len(summary["states"]) == 1 and not summary["flipped"]
    if not in_one_state or state["left_out"] or state["launches"] != len(measured):
        return shown
    readings = [_probes_of(launch) for launch in measured]
    hops = [hop for pair in readings for probes in pair if (hop := probes.get("hop_ns"))]
    if hops:
        shown |= {"hop_low_ns": min(hops), "hop_high_ns": max(hops)}
    if len(hops) not in (0, 2 * len(measured)):
        return shown  # a probe that failed for a launch alone: the whole record says what of it
    shown |= {
        "basis": LAUNCHES,
        "launch_medians_ms": [_median_ms(launch) for launch in measured],
        "probe_compute_us": _means(readings, "compute_us"),
        "probe_memory_ms": _means(readings, "memory_ms"),
    }
    return shown


def _ran_precision(launches: Sequence[LeanLaunch]) -> str | None:
    """What the first launch ran in; None where it did not come to that."""
    facts = launches[0].get("facts") if launches else None
    if facts is None:
        return None
    return facts["precision"]


def _median_ms(launch: LeanLaunch) -> float:
    """The median of the samples after the warm-up."""
    histogram = launch.get("steady_histogram")
    if histogram is not None:
        return _of_histogram(histogram) / 1e6
    ordered = sorted(launch["samples_ns"][launch.get("warm_up", 0) :])
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle] / 1e6
    return (ordered[middle - 1] + ordered[middle]) / 2 / 1e6


def _of_histogram(histogram: LeanHistogram) -> float:
    return Histogram.model_validate(histogram).counted.median()


def _probes_of(launch: LeanLaunch) -> tuple[LeanProbes, LeanProbes]:
    surroundings = launch.get("surroundings")
    if surroundings is None:
        return NO_PROBES, NO_PROBES
    return surroundings["before"], surroundings["after"]


def _means(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], name: str) -> list[float]:
    """The mean of before and after of a probe, for each launch that has both."""
    means = []
    for before, after in pairs:
        first, second = before.get(name), after.get(name)
        if first is not None and second is not None:
            means.append((first + second) / 2)
    return means
