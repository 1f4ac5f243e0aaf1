"""The first calls of each process of a cell, and where its warm-up was found to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploybench.pages.machines import Entry
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import HEIGHT, quantity, scale_of, shown, table_of_values
from deploybench.plurals import counted
from deploybench.report.figures import three_digits
from deploybench.results.launch import Launch
from deploybench.statistics.samples import median

WARM_UP = About(
    key="warm-up",
    title="Warm-up, by process",
    short="Warm-up",
    reading=(
        "The calls of each process in their order, from the first one after its answers were "
        "checked. A dashed rule is where the warm-up of that process was found to end: nothing "
        "before it counts. Later calls are drawn as medians of several, more of them the later "
        "they are."
    ),
)
FIRST_CALLS = 12
"""Calls of a process that are drawn one by one."""
GROWTH = 1.15
"""Of the later ones each mark is the median of so many more calls than the mark before it."""
MOST_PROCESSES = 4
"""Processes of one cell that are drawn: more lie on each other."""


def warm_up_view(entry: Entry, view_name: str) -> View | None:
    """None where no process has two calls that were kept from its beginning: one is no curve."""
    launches = [launch for launch in entry.finding.record.launches if launch.measured]
    if max((len(launch.samples_ns) for launch in launches), default=0) < 2:
        return None
    drawn = launches[:MOST_PROCESSES]
    values = []
    cuts = []
    for number, launch in enumerate(drawn, start=1):
        values += _values(launch, f"process {number}")
        if launch.warm_up:
            cuts.append({"process": f"process {number}", "call": launch.warm_up + 0.5})
    caption = _caption(entry, launches)
    if len(launches) > len(drawn):
        caption += f" The first {counted(len(drawn), 'process', 'processes')} are drawn."
    table = table_of_values(
        values,
        ("process", "process"),
        ("call", "call", str),
        ("calls", "calls", str),
        ("ms", "median ms", three_digits),
        ("part", "part"),
    )
    return View(view_name, caption, _spec(inert_values(values), cuts), table)


def _values(launch: Launch, process: str) -> list[dict[str, Any]]:
    """The first calls one by one, then medians of more and more; none lies on both sides of the
    cut.

    Of a launch with very many samples the first few thousand alone stand in their order.
    """
    samples_ns = launch.samples_ns
    if launch.sample_count is not None:
        samples_ns = samples_ns[: len(samples_ns) // 2]
    values: list[dict[str, Any]] = []
    start = 0
    while start < len(samples_ns):
        end = start + 1
        if start >= FIRST_CALLS:
            end = max(end, int(start * GROWTH))
        if start < launch.warm_up < end:
            end = launch.warm_up
        end = min(end, len(samples_ns))
        values.append(
            {
                "process": process,
                "call": start + 1,
                "calls": end - start,
                "ms": float(f"{median(samples_ns[start:end]) / 1e6:.5g}"),
                "part": "warm-up" if start < launch.warm_up else "counts",
            }
        )
        start = end
    return values


def _caption(entry: Entry, launches: Sequence[Launch]) -> str:
    """How many calls were warm-up, and how much slower the first call was than what counts."""
    cuts = [launch.warm_up for launch in launches]
    most = max(cuts)
    text = f"{entry.finding.record.cell.title()}: "
    if most == 0:
        text += f"no call of {counted(len(launches), 'process', 'processes')} was warm-up"
    elif min(cuts) == most:
        text += f"{counted(most, 'call')} of each process were warm-up"
        if most == 1:
            text = text.replace("were warm-up", "was warm-up")
    else:
        text += f"{min(cuts)} to {counted(most, 'call')} of a process were warm-up"
    firsts = [launch.samples_ns[0] / 1e6 / launch.median_ms for launch in launches]
    text += f"; the first call took {median(firsts):.2f} times the median of those that count."
    unsettled = sum(launch.unsettled is not None for launch in launches)
    if unsettled:
        settled = counted(len(launches), "process", "processes")
        text += f" {unsettled} of {settled} never settled."
    return text


def _spec(values: Sequence[dict[str, Any]], cuts: Sequence[dict[str, Any]]) -> Spec:
    order = list(dict.fromkeys(str(value["process"]) for value in values))
    of_process = {
        "field": "process",
        "type": "nominal",
        "title": "",
        "scale": {"domain": order},
        "sort": order,
    }
    title = "call of the process"
    scale = {"type": "log", "base": 10, "nice": False, "padding": 8}
    across = quantity("call", title, scale, axis={"format": "d", "tickCount": 6})
    up = quantity("ms", "time of a call, ms", scale_of([value["ms"] for value in values]))
    layers: list[dict[str, Any]] = [
        {
            "mark": {"type": "line", "strokeWidth": 1.5, "opacity": 0.6},
            "encoding": {"x": across, "y": up, "color": of_process},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 40},
            "encoding": {
                "x": across,
                "y": up,
                "color": of_process,
                "shape": of_process,
                "tooltip": [
                    shown("process", "process"),
                    shown("call", "from call", "d"),
                    shown("calls", "calls", "d"),
                    shown("ms", "median, ms", ".4~g"),
                    shown("part", "part"),
                ],
            },
        },
    ]
    if cuts:
        layers.append(
            {
                # Data of its own: a rule for each process, not for each call.
                "data": {"values": list(cuts)},
                "mark": {"type": "rule", "strokeDash": [5, 4], "strokeWidth": 1.5},
                "encoding": {"x": quantity("call", title), "color": of_process},
            }
        )
    return {"height": HEIGHT, "data": {"values": list(values)}, "layer": layers}
