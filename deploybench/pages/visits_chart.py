"""The time of one cell over the run, process by process, with the machine's own speed beside it.

So that two speeds of a process, a drift and a busy neighbour can be *seen*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploybench.analysis.visit_estimates import share_delivered
from deploybench.pages.machines import Entry
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import QUIET, quantity, shown, table_of_values
from deploybench.plurals import counted
from deploybench.report.figures import form, three_digits
from deploybench.results.record import Record
from deploybench.statistics.samples import nearest_rank

OVER_TIME = About(
    key="over-time",
    title="Latency over time, by process",
    short="Over time",
    reading=(
        "Each mark is one visit: the median of the calls that one process made without a break; "
        "the dashed line is the estimate of the table. Below is the share of its own speed that "
        "the machine gave at that moment, as a fixed piece of work (the canary) found it. Levels "
        "that belong to a process, a slope, or times that move with the machine show here before "
        "they show in a number."
    ),
)
MOST_POINTS = 160
"""Visits of one cell that are drawn; of more, every second or third is."""


def has_times(entry: Entry) -> bool:
    """Whether there is anything to draw of a cell."""
    record = entry.finding.record
    if record.summary is None:
        return False
    if record.visits:
        return any(visit.count for visit in record.visits)
    return any(launch.measured for launch in record.launches)


def visits_view(entry: Entry, view_name: str) -> View | None:
    """None for a cell without a time; of fresh launches each is a mark."""
    record = entry.finding.record
    if record.summary is None:
        return None
    values = _visits(record) if record.visits else _launches(record)
    if not values:
        return None
    step = -(-len(values) // MOST_POINTS)
    drawn = values[::step]
    caption = _caption(entry, values)
    if step > 1:
        caption += f" One of {step} visits is drawn."
    spec = _spec(inert_values(drawn), entry.row.p50_ms)
    table = table_of_values(
        drawn,
        ("at", "at s", "{:.1f}".format),
        ("process", "process", str),
        ("ms", "median ms", three_digits),
        ("calls", "calls", str),
        ("delivered", "machine %", lambda share: form(share, "{:.0f}")),
    )
    return View(view_name, caption, spec, table)


def _visits(record: Record) -> list[dict[str, Any]]:
    values = []
    for visit in record.visits:
        if not visit.count:
            continue
        delivered = None
        if record.canary is not None:
            delivered = share_delivered(visit, record.canary)
        values.append(
            {
                "at": round(visit.at_s, 2),
                "ms": _short(visit.median_ns / 1e6),
                "process": visit.process + 1,
                "calls": visit.count,
                "delivered": None if delivered is None else round(100 * delivered, 1),
            }
        )
    return values


def _launches(record: Record) -> list[dict[str, Any]]:
    """Fresh launches have no clock in common: they stand in the order in which they ran."""
    values = []
    for number, launch in enumerate(record.launches):
        if launch.measured:
            values.append(
                {
                    "at": number + 1,
                    "ms": _short(launch.median_ms),
                    "process": number + 1,
                    "calls": launch.steady_count,
                    "delivered": None,
                }
            )
    return values


def _short(value: float) -> float:
    """Five digits: more are noise, and the page is smaller."""
    return float(f"{value:.5g}")


def _caption(entry: Entry, values: Sequence[dict[str, Any]]) -> str:
    times = sorted(value["ms"] for value in values)
    processes = len({value["process"] for value in values})
    low, high = nearest_rank(times, 0.1), nearest_rank(times, 0.9)
    kind = "visit" if entry.finding.record.visits else "launch"
    plural = "launches" if kind == "launch" else ""
    text = (
        f"{entry.finding.record.cell.title()}: {counted(len(values), kind, plural)} of "
        f"{counted(processes, 'process', 'processes')}, most between {three_digits(low)} and "
        f"{three_digits(high)} ms"
    )
    delivered = sorted(value["delivered"] for value in values if value["delivered"] is not None)
    if delivered:
        text += (
            f"; the machine gave {nearest_rank(delivered, 0.5):.0f} % of its own speed on median"
        )
    row = entry.row
    text += f". {row.verdict.value}"
    if row.reason:
        text += f": {row.reason}"
    return f"{text}."


def _spec(values: Sequence[dict[str, Any]], p50_ms: float | None) -> Spec:
    fresh = all(value["delivered"] is None for value in values)
    first, last = values[0]["at"], values[-1]["at"]
    across = quantity(
        "at",
        "launch" if fresh and first == 1 else "seconds since the first visit",
        {"domain": [first, max(last, first + 1)], "nice": True},
    )
    tooltip = [
        shown("at", "at, s", ".1f"),
        shown("process", "process"),
        shown("ms", "median, ms", ".4~g"),
        shown("calls", "calls", "d"),
        shown("delivered", "machine gave, %", ".0f"),
    ]
    processes = sorted({value["process"] for value in values})
    of_process: dict[str, Any] = {"field": "process", "type": "nominal", "title": "process"}
    if len(processes) > 8:
        of_process = {"field": "process", "type": "ordinal", "title": "process", "legend": None}
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "point", "filled": True, "size": 45, "opacity": 0.85},
            "encoding": {
                "x": across,
                "y": quantity("ms", "median of a visit, ms", {"zero": False}),
                "color": of_process,
                "shape": {**of_process, "legend": of_process.get("legend", {})},
                "tooltip": tooltip,
            },
        }
    ]
    if p50_ms is not None:
        layers.append(
            {
                # Data of its own: else there would be a line for each visit.
                "data": {"values": [{"ms": _short(p50_ms)}]},
                "mark": {"type": "rule", "strokeDash": [5, 4]},
                "encoding": {"y": quantity("ms", "median of a visit, ms")},
            }
        )
    above = {"height": 230, "layer": layers}
    if fresh:
        return {"data": {"values": list(values)}, **above}
    below: dict[str, Any] = {
        "height": 70,
        "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5},
        "encoding": {
            "x": across,
            "y": quantity("delivered", "machine, %", {"zero": False}, axis={"tickCount": 3}),
            "color": {"value": QUIET},
            "tooltip": tooltip,
        },
    }
    return {"data": {"values": list(values)}, "vconcat": [above, below]}
