"""Latency against MACs, with the least time that the hardware allows, and what the order says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deploybench.analysis.ranking import rankings
from deploybench.data.image_size import short_text
from deploybench.hardware.devices import CPU
from deploybench.pages.machines import Entry, Run
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import (
    HEIGHT,
    QUIET,
    on_its_own,
    order_of,
    points_by_verdict,
    quantity,
    rounded,
    scale_of,
    shown,
    table_of_values,
)
from deploybench.plurals import counted
from deploybench.report.figures import three_digits
from deploybench.report.ranking_text import ranking_lines
from deploybench.results.cell import BASELINE_PRECISION, HOST_TO_HOST

MACS = About(
    key="latency-macs",
    title="Latency against MACs",
    short="MACs",
    reading=(
        "Each mark is one model on one runner; the bar is the 95 % interval of its time. Hollow "
        "marks are not VALID. Were MACs a measure of latency, every runner's line would only "
        "rise. Dashes are the least time that MACs, bytes and this hardware's peaks allow; the "
        "grey line is that of the arithmetic alone, at the peak of each roof."
    ),
)

ROOF_POINTS = 24
MOST_MARKS = 600
"""Of a view: more could not be told from each other. Its table is made of all of them."""
LABELS_BESIDE = 7
"""So many names have room beside each other above the marks."""


def macs_view(run: Run, view_name: str, runners: Sequence[str]) -> View | None:
    """None where fewer than two models with different MACs were timed alike."""
    entries = _alike(run.entries)
    if len({entry.row.macs_per_image for entry in entries}) < 2:
        return None
    lines = [f"{line}." for line in ranking_lines(rankings(run.findings))]
    values = _values(entries)
    places = _most_telling(values)
    if len(places) < len(values):
        words = f"{len(places)} of {counted(len(values), 'mark')} are drawn, the fastest of each "
        lines.append(f"{words}model before its others.")
    drawn = [values[place] for place in places]
    _put_labels(drawn)
    caption = "\n".join(lines)
    table = table_of_values(
        values,
        ("model", "model"),
        ("runner", "runner"),
        ("gmac", "GMAC", three_digits),
        ("ms", "p50 ms", three_digits),
        ("low", "from", three_digits),
        ("high", "to", three_digits),
        ("bound", "least ms", three_digits),
        ("verdict", "verdict"),
    )
    roofs = inert_values(_roof_lines([entries[place] for place in places]))
    return View(view_name, caption, _spec(inert_values(drawn), runners, roofs), table)


def _most_telling(values: Sequence[dict[str, Any]]) -> list[int]:
    """The places of those that are drawn: of each model the fastest, then the next of each.

    Where not all of one such turn have room, those that are drawn are spread over the MACs, with
    the fewest and the most.
    """
    turns: list[list[int]] = []
    seen: dict[str, int] = {}
    for place in sorted(range(len(values)), key=lambda place: float(values[place]["ms"])):
        turn = seen.get(values[place]["model"], 0)
        seen[values[place]["model"]] = turn + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(place)
    chosen: list[int] = []
    for members in turns:
        room = MOST_MARKS - len(chosen)
        if len(members) > room:
            by_macs = sorted(members, key=lambda place: float(values[place]["gmac"]))
            apart = (len(by_macs) - 1) / max(room - 1, 1)
            members = [by_macs[round(number * apart)] for number in range(room)]
        chosen += members
    return sorted(chosen)


def _roof_lines(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """For each roof the time that its peak takes for the arithmetic, from the fewest MACs to the
    most; a line of several points, for it is no straight one on every pair of scales."""
    gmacs = [entry.row.macs_per_image / 1e9 for entry in entries if entry.row.macs_per_image]
    first, last = min(gmacs), max(gmacs)
    values = []
    drawn = set()
    for entry in entries:
        bound = entry.finding.record.bound
        if bound is None or not bound.compute_ms or bound.roof in drawn:
            continue
        drawn.add(bound.roof)
        # Two FLOPs a multiply-add; the bound is of the whole batch, as the time is.
        ms_per_gmac = bound.compute_ms / (bound.flops / bound.batch / 2e9)
        for step in range(ROOF_POINTS + 1):
            gmac = first * (last / first) ** (step / ROOF_POINTS)
            peak_ms = gmac * ms_per_gmac
            values.append({"roof": bound.roof, "gmac": rounded(gmac), "peak_ms": rounded(peak_ms)})
    return values


def _alike(entries: Sequence[Entry]) -> list[Entry]:
    """Those of the smallest batch, one stream, fp32 and host to host, in their main state."""
    plain = []
    for entry in entries:
        row = entry.row
        usual = row.streams == 1 and row.timing == HOST_TO_HOST and row.main_state
        known = row.p50_ms is not None and row.macs_per_image and not row.macs_uncounted
        if usual and known and row.precision == BASELINE_PRECISION:
            plain.append(entry)
    smallest = min((entry.row.batch for entry in plain), default=1)
    return [entry for entry in plain if entry.row.batch == smallest]


def _values(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    shapes: dict[str, set[str]] = {}
    for entry in entries:
        shapes.setdefault(entry.row.model, set()).add(_shape(entry))
    return [_value(entry, several=len(shapes[entry.row.model]) > 1) for entry in entries]


def _shape(entry: Entry) -> str:
    cell = entry.finding.record.cell
    return short_text(cell.image_size, cell.patch_size)


def _value(entry: Entry, *, several: bool) -> dict[str, Any]:
    """``several``: the model is there at several sizes, so its name alone does not tell."""
    row = entry.row
    assert row.p50_ms is not None  # only such rows are drawn
    assert row.macs_per_image is not None
    return {
        "model": f"{row.model} @{_shape(entry)}" if several else row.model,
        "runner": row.runner if row.device == CPU else f"{row.runner} on {row.device}",
        "gmac": rounded(row.macs_per_image / 1e9),
        "ms": rounded(row.p50_ms),
        "low": rounded(row.p50_low_ms or row.p50_ms),
        "high": rounded(row.p50_high_ms or row.p50_ms),
        "bound": None if row.bound_ms is None else rounded(row.bound_ms),
        "verdict": row.verdict.value,
        "label": "",
        "align": "center",
    }


def _put_labels(values: Sequence[dict[str, Any]]) -> None:
    """Name each model once, above its slowest mark; models of nearly the same MACs together."""
    places = [math.log(value["gmac"]) for value in values]
    first, span = min(places), max(places) - min(places)
    columns: dict[int, list[dict[str, Any]]] = {}
    for value, place in zip(values, places, strict=True):
        columns.setdefault(round((place - first) / span * LABELS_BESIDE), []).append(value)
    for number, members in columns.items():
        slowest = max(members, key=lambda value: float(value["high"]))
        slowest["label"] = ", ".join(dict.fromkeys(str(value["model"]) for value in members))
        if number < LABELS_BESIDE / 4:
            slowest["align"] = "left"
        elif number > LABELS_BESIDE * 3 / 4:
            slowest["align"] = "right"


def _spec(
    values: Sequence[dict[str, Any]], runners: Sequence[str], roofs: Sequence[dict[str, Any]]
) -> Spec:
    order = order_of(values, "runner", runners)
    across = quantity("gmac", "GMAC of one image", scale_of([value["gmac"] for value in values]))
    times = [value[name] for value in values for name in ("low", "high")]
    times += [value["bound"] for value in values if value["bound"]]
    times += [value["peak_ms"] for value in roofs]
    up = quantity("ms", "median of a call, ms", scale_of(times))
    tooltip = [
        shown("model", "model"),
        shown("runner", "runner"),
        shown("ms", "median, ms", ".3~f"),
        shown("low", "from, ms", ".3~f"),
        shown("high", "to, ms", ".3~f"),
        shown("gmac", "GMAC", ".3~f"),
        shown("bound", "least time by the roof, ms", ".3~f"),
        shown("verdict", "verdict"),
    ]
    colours_of_runners = on_its_own("runner", "runner", order)
    layers: list[dict[str, Any]] = []
    if roofs:
        layers.append(
            {
                "data": {"values": list(roofs)},
                "mark": {"type": "line", "strokeWidth": 1.5, "strokeDash": [2, 3], "color": QUIET},
                "encoding": {
                    "y": quantity("peak_ms", up["title"], up["scale"]),
                    "detail": {"field": "roof", "type": "nominal"},
                },
            }
        )
    if any(value["bound"] for value in values):
        layers.append(
            {
                "transform": [{"filter": "datum.bound !== null"}],
                "mark": {"type": "tick", "thickness": 2, "size": 18, "orient": "horizontal"},
                "encoding": {
                    "y": quantity("bound", up["title"], up["scale"]),
                    "color": {"value": QUIET},
                    "tooltip": tooltip,
                },
            }
        )
    layers += [
        {
            "mark": {"type": "line", "opacity": 0.35, "strokeWidth": 1.5},
            "encoding": {"y": up, "color": colours_of_runners["color"]},
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1.5},
            "encoding": {
                "y": quantity("low", up["title"], up["scale"]),
                "y2": {"field": "high"},
                "color": colours_of_runners["color"],
            },
        },
    ]
    encoding = {"y": up, **colours_of_runners, "tooltip": tooltip}
    layers += points_by_verdict(values, encoding, size=90)
    layers.append(
        {
            "transform": [{"filter": "datum.label !== ''"}],
            "mark": {"type": "text", "dy": -14, "limit": 260, "align": {"expr": "datum.align"}},
            "encoding": {
                "y": quantity("high", up["title"], up["scale"]),
                "text": {"field": "label", "type": "nominal"},
            },
        }
    )
    return {
        "height": HEIGHT,
        "data": {"values": list(values)},
        "encoding": {"x": across},
        "layer": layers,
    }
