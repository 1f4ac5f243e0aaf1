"""Accuracy against latency, and which cells are worth choosing from (Pareto's front)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deploybench.analysis.orders import Known
from deploybench.analysis.pareto import Point, dominators, fewer_is_worse
from deploybench.hardware.devices import CPU
from deploybench.pages.machines import Entry, Run
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import (
    FEW_NAMES,
    HEIGHT,
    QUIET,
    on_its_own,
    order_of,
    points_by_verdict,
    quantity,
    scale_of,
    shown,
    table_of_values,
)
from deploybench.plurals import counted
from deploybench.report.figures import three_digits
from deploybench.rows.row import Row

ACCURACY = About(
    key="accuracy-latency",
    title="Accuracy against latency",
    short="Accuracy",
    reading=(
        "Up and to the left is better. Bars are 95 % intervals; hollow marks are those whose time "
        "is not VALID. The line joins the cells that no "
        "other one makes needless: none is clearly faster and at least as accurate, or clearly "
        "more accurate and at least as fast."
    ),
)
PERCENT = 100
MOST_NAMED = 6
ROOM_FOR_A_NAME = 0.4
"""Of the width, left of a mark."""
MOST_BESIDE = 3
"""So many names have room above the marks on the narrowest screen, too."""


def accuracy_view(run: Run, view_name: str, runners: Sequence[str]) -> View | None:
    """None where no two cells that were timed alike were evaluated on the same images."""
    entries = _alike(run.entries)
    if len(entries) < 2:
        return None
    front = _front(entries)
    values = [_value(entry, front=number in front) for number, entry in enumerate(entries)]
    ordered = sorted((value for value in values if value["front"]), key=lambda value: value["ms"])
    _put_labels(values, ordered)
    row = entries[0].row
    table = table_of_values(
        values,
        ("model", "model"),
        ("runner", "runner"),
        ("precision", "prec"),
        ("ms", "p50 ms", three_digits),
        ("accuracy", "accuracy %", "{:.2f}".format),
        ("low", "from", "{:.2f}".format),
        ("high", "to", "{:.2f}".format),
        ("chosen", "worth choosing"),
        ("verdict", "verdict"),
    )
    spec = _spec(inert_values(values), runners, row.accuracy_of)
    return View(view_name, _caption(row, ordered, len(values)), spec, table)


def _alike(entries: Sequence[Entry]) -> list[Entry]:
    """The largest group of cells that were timed alike, and evaluated on the same images."""
    groups: dict[tuple[object, ...], list[Entry]] = {}
    for entry in entries:
        row, quality = entry.row, entry.finding.record.quality
        if row.p50_ms is None or row.accuracy is None or quality is None or not row.main_state:
            continue
        means = (
            quality.data.sha256,
            row.accuracy_of,
            row.device,
            row.batch,
            row.asked_threads,
            row.streams,
            row.timing,
        )
        groups.setdefault(means, []).append(entry)
    return max(groups.values(), key=len, default=[])


def _front(entries: Sequence[Entry]) -> set[int]:
    points = {}
    for number, entry in enumerate(entries):
        row = entry.row
        assert row.p50_ms is not None  # _alike has no others
        assert row.accuracy is not None
        time = Known.of(row.p50_ms, row.p50_low_ms, row.p50_high_ms)
        accuracy = Known.of(row.accuracy, row.accuracy_low, row.accuracy_high)
        points[number] = Point((time, fewer_is_worse(accuracy)))
    return {number for number, other in dominators(points).items() if other is None}


def _value(entry: Entry, *, front: bool) -> dict[str, Any]:
    row = entry.row
    assert row.p50_ms is not None
    assert row.accuracy is not None
    low = row.accuracy if row.accuracy_low is None else row.accuracy_low
    high = row.accuracy if row.accuracy_high is None else row.accuracy_high
    return {
        "model": row.model,
        "runner": row.runner if row.device == CPU else f"{row.runner} on {row.device}",
        "precision": row.precision,
        "ms": row.p50_ms,
        "fast": row.p50_low_ms or row.p50_ms,
        "slow": row.p50_high_ms or row.p50_ms,
        "accuracy": PERCENT * row.accuracy,
        "low": PERCENT * low,
        "high": PERCENT * high,
        "front": front,
        "chosen": "yes" if front else "no",
        "verdict": row.verdict.value,
        "label": "",
        "align": "left",
    }


def _put_labels(values: Sequence[dict[str, Any]], front: Sequence[dict[str, Any]]) -> None:
    """Name each model of the front once, at its fastest mark.

    The front rises to the right, so names stand to the upper left of their marks (their right end
    at the mark); where there is no room, to the lower right.
    """
    times = [math.log(value["ms"]) for value in values]
    from_here_on = min(times) + ROOM_FOR_A_NAME * (max(times) - min(times))
    named = set()
    for value in front:
        if value["model"] in named:
            continue
        named.add(value["model"])
        value["label"] = value["model"]
        if math.log(value["ms"]) > from_here_on:
            value["align"] = "right"


def _caption(row: Row, front: Sequence[dict[str, Any]], cells: int) -> str:
    names = [
        f"{value['model']} on {value['runner']} {value['precision']} "
        f"({three_digits(value['ms'])} ms, {value['accuracy']:.1f} %)"
        for value in front[:MOST_NAMED]
    ]
    if len(front) > MOST_NAMED:
        names.append(f"{len(front) - MOST_NAMED} more")
    of = f"{row.accuracy_of} of {counted(row.accuracy_images or 0, 'image')} of {row.accuracy_data}"
    return f"Worth choosing among {cells} cells: {', '.join(names)}. Accuracy: {of}."


def _spec(values: Sequence[dict[str, Any]], runners: Sequence[str], accuracy_of: str) -> Spec:
    across = quantity("ms", "median of a call, ms", scale_of([value["ms"] for value in values]))
    ends = [value[end] for value in values for end in ("low", "high")]
    title = f"{accuracy_of}, %"
    up = quantity(
        "accuracy", title, {"zero": False, "domain": [min(ends), max(ends)], "nice": True}
    )
    tooltip = [
        shown("model", "model"),
        shown("runner", "runner"),
        shown("precision", "precision"),
        shown("ms", "median, ms", ".3~f"),
        shown("accuracy", "accuracy, %", ".2f"),
        shown("low", "from, %", ".2f"),
        shown("high", "to, %", ".2f"),
        shown("chosen", "worth choosing"),
        shown("verdict", "verdict of the time"),
    ]
    marks = on_its_own("runner", "runner", order_of(values, "runner", runners))
    encoding = {"x": across, "y": up, **marks, "tooltip": tooltip}
    labels = [value["label"] for value in values if value["label"]]
    bar = {"type": "rule", "strokeWidth": 1.2, "opacity": 0.6}
    return {
        "height": HEIGHT,
        "data": {"values": list(values)},
        "layer": [
            {
                "transform": [{"filter": "datum.front"}],
                "mark": {"type": "line", "strokeDash": [6, 4], "color": QUIET},
                "encoding": {
                    "x": across,
                    "y": up,
                    "order": {"field": "ms", "type": "quantitative"},
                },
            },
            {
                "mark": bar,
                "encoding": {
                    "x": across,
                    "y": quantity("low", title),
                    "y2": {"field": "high"},
                    "color": marks["color"],
                },
            },
            {
                "mark": bar,
                "encoding": {
                    "x": quantity("fast", across["title"]),
                    "x2": {"field": "slow"},
                    "y": up,
                    "color": marks["color"],
                },
            },
            *points_by_verdict(values, encoding, size=110),
            {
                "name": FEW_NAMES if 0 < len(labels) <= MOST_BESIDE else "names",
                "transform": [{"filter": "datum.label !== ''"}],
                "mark": {
                    "type": "text",
                    "limit": 200,
                    "align": {"expr": "datum.align"},
                    "dx": {"expr": "datum.align === 'right' ? -6 : 8"},
                    "dy": {"expr": "datum.align === 'right' ? -14 : 14"},
                },
                "encoding": {
                    "x": across,
                    "y": quantity("accuracy", title),
                    "text": {"field": "label", "type": "nominal"},
                },
            },
        ],
    }
