"""The time of each layer against its multiply-adds: where FLOPs lie about latency, and how much.

Drawn from the documents of ``deploybench explain``. Two artifacts of one model that were explained
alike on one machine stand on one view, each module's two times joined by a rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from deploybench.analysis.layers import ModuleTime, TimesByModule, where_macs_lie
from deploybench.pages.page import About, Block, Chart, Section, Spec, View, inert_values
from deploybench.pages.specs import (
    HEIGHT,
    QUIET,
    name,
    on_its_own,
    order_of,
    quantity,
    rounded,
    shown,
    table_of_values,
)
from deploybench.plurals import counted
from deploybench.report.figures import three_digits
from deploybench.report.layers_table import called, in_short, times_of
from deploybench.report.table import NOTHING, Prose, Style
from deploybench.results.explanation import Explanation

LAYERS = About(
    key="layers",
    title="Time of each layer against MACs",
    short="Layers",
    reading=(
        "Each mark is one module of the model: what its layers take in one call, by the runtime's "
        "own profiler, over its multiply-adds; those without any stand at the left edge. On the "
        "dotted line a module takes the share of the time that it has of the MACs. Far above it "
        "FLOPs lie: the time is spent on something else. A profiler slows what it watches, so "
        "these times stand in no comparison."
    ),
)
MOST_VIEWS = 30
MOST_DRAWN = 600
"""Modules of a view, the longest: of more, no mark could be told from another."""
MOST_KINDS = 7
OTHER_KINDS = "other"
LEAST_MS = 0.0005
"""Half of the microsecond in which runtimes tell times: less is not drawn."""
LINE_POINTS = 40
NUMBER = ".6~g"


def layers_section(explanations: Sequence[Explanation]) -> Section:
    """The section of all that was explained; without any block where nothing was."""
    views, said = [], []
    for explanation in [*_pairs(explanations), *_newest_first(explanations)]:
        if explanation.failed:
            said += _failures(explanation)
            continue
        view = layers_view(explanation, _name(explanation, explanations))
        if view is not None:
            views.append(view)
    blocks: tuple[Block, ...] = ()
    if views:
        blocks = (Chart(LAYERS, tuple(views[:MOST_VIEWS]), "Of"),)
    if said:
        blocks = (*blocks, Prose(tuple(dict.fromkeys(said)), Style.BAD))
    return Section(LAYERS.key, LAYERS.title, LAYERS.short, blocks)


def layers_view(explanation: Explanation, view_name: str) -> View | None:
    """None where no layer names a module whose work is known."""
    times = times_of(explanation)
    names = _side_names(explanation)
    values = []
    for side, found in zip(names, times, strict=True):
        values += [_value(row, side) for row in found.modules if row.macs is not None]
    drawn = [value for value in values if value["ms"] >= LEAST_MS]
    if not any(value["mmac"] for value in drawn):
        return None
    drawn = sorted(drawn, key=lambda value: -value["ms"])[:MOST_DRAWN]
    _put_labels(drawn, times)
    _group_kinds(drawn)
    lines = []
    for side, found in zip(names, times, strict=True):
        lines += _as_macs_say(side, found, drawn)
    table = table_of_values(
        drawn,
        ("module", "module"),
        ("kind", "kind"),
        ("side", "artifact"),
        ("ms", "ms", "{:.3f}".format),
        ("time_share", "time", "{:.1%}".format),
        ("macs_share", "MACs", "{:.1%}".format),
        ("mmac", "MMAC", three_digits),
        ("ran", "ran"),
    )
    caption = "\n".join(_caption(explanation, times, len(values) - len(drawn)))
    spec = _spec(inert_values(drawn), inert_values(lines), several=len(names) > 1)
    return View(view_name, caption, spec, table)


def _caption(explanation: Explanation, times: Sequence[TimesByModule], left: int) -> Iterator[str]:
    for line in in_short(explanation, times):
        yield f"{line}."
    if left:
        yield f"{counted(left, 'module')} under half a microsecond or beyond the longest not drawn."
    host = explanation.host
    moment = explanation.created[:16].replace("T", " ")
    yield f"Profiled on {host.hostname} ({host.cpu_model}), {moment}."


def _value(row: ModuleTime, side: str) -> dict[str, Any]:
    return {
        "module": row.module,
        "kind": row.kinds[0] if row.kinds else NOTHING,
        "side": side,
        "ms": rounded(row.ms),
        "mmac": rounded((row.macs or 0) / 1e6),
        "time_share": rounded(row.time_share),
        "macs_share": rounded(row.macs_share or 0.0),
        "ran": row.ran[0] if row.ran else NOTHING,
        "label": "",
        "align": "left",
    }


def _put_labels(values: Sequence[dict[str, Any]], times: Sequence[TimesByModule]) -> None:
    """Name the modules where FLOPs lie the most, at the longer of their times; where two names
    would lie on each other, the longer time has it."""
    named = {row.module for found in times for row in where_macs_lie(found)}
    largest = max(value["mmac"] for value in values)
    taken: list[tuple[float, float]] = []
    for value in values:
        if value["module"] not in named:
            continue
        named.discard(value["module"])
        place = (math.log10(1 + value["mmac"]), math.log10(value["ms"]))
        if any(_close(place, other) for other in taken):
            continue
        taken.append(place)
        value["label"] = ".".join(value["module"].split(".")[-3:])
        if value["mmac"] > largest / 4:
            value["align"] = "right"


def _close(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Within the room that a name takes: a decade across, an eighth of one up and down."""
    return abs(one[0] - other[0]) < 1 and abs(one[1] - other[1]) < 1 / 8


def _group_kinds(values: Sequence[dict[str, Any]]) -> None:
    """Only the kinds that take the most have a colour of their own."""
    totals: dict[str, float] = {}
    for value in values:
        totals[value["kind"]] = totals.get(value["kind"], 0.0) + value["ms"]
    most = sorted(totals, key=lambda kind: -totals[kind])[:MOST_KINDS]
    for value in values:
        value["group"] = value["kind"] if value["kind"] in most else OTHER_KINDS


def _as_macs_say(
    side: str, times: TimesByModule, drawn: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The time that each number of MACs would have if all of the time were shared out by MACs.

    Points of a line that is straight on no pair of scales, as far as the marks reach.
    """
    total = sum((row.macs or 0) for row in times.modules) / 1e6
    largest = max(value["mmac"] for value in drawn)
    slowest = max(value["ms"] for value in drawn)
    fastest = min(value["ms"] for value in drawn)
    points = []
    for step in range(LINE_POINTS + 1):
        # From the fastest mark to the slowest, evenly on a logarithmic scale.
        ms = fastest * (slowest / fastest) ** (step / LINE_POINTS)
        mmac = ms / times.sum_ms * total
        if mmac <= largest:
            points.append({"side": side, "line_mmac": rounded(mmac), "line_ms": rounded(ms)})
    return points


def _pairs(explanations: Sequence[Explanation]) -> Iterator[Explanation]:
    """Artifacts that were explained one by one, and alike, laid side by side: the first of a model
    with each other one.

    Alike are those whose modules do the same work: the times of another image size, or of another
    model of that name, stand over other MACs.
    """
    alike: dict[tuple[object, ...], dict[tuple[str, ...], Explanation]] = {}
    for explanation in explanations:
        if len(explanation.sides) == 1 and not explanation.failed:
            side = explanation.sides[0]
            settings = (side.model, side.device, side.threads, side.batch)
            place = (explanation.host.hostname, *settings, explanation.work)
            # What was explained again stands in the place of what was before.
            alike.setdefault(place, {})[(side.name, side.runner, side.precision)] = explanation
    for found in alike.values():
        first, *others = found.values()
        for other in others:
            ordered = sorted((first, other), key=lambda one: one.created)
            sides = tuple(one.sides[0] for one in ordered)
            yield ordered[1].replaced(sides=sides, seal="")


def _newest_first(explanations: Sequence[Explanation]) -> list[Explanation]:
    """Those side by side before the others, which is where the most is seen; each once."""
    newest: dict[tuple[object, ...], Explanation] = {}
    for explanation in sorted(explanations, key=lambda one: one.created):
        sides = tuple((side.name, side.runner, side.precision) for side in explanation.sides)
        settings = (explanation.sides[0].batch, explanation.sides[0].threads)
        newest[(explanation.host.hostname, sides, settings)] = explanation
    found = sorted(newest.values(), key=lambda one: one.created, reverse=True)
    return sorted(found, key=lambda one: -len(one.sides))


def _failures(explanation: Explanation) -> list[str]:
    said = []
    for side in explanation.sides:
        if side.profile.failed:
            said.append(f"{called(side)} was not profiled: {side.profile.failed}")
    return said


def _side_names(explanation: Explanation) -> list[str]:
    """As short as tells them apart: they stand in the legend."""
    sides = explanation.sides
    if len(sides) == 1:
        return [called(sides[0])]
    names = [f"{side.runner} {side.precision}" for side in sides]
    if names[0] == names[1]:
        names = [called(side) for side in sides]
    return [f"{letter}: {name}" for letter, name in zip("AB", names, strict=True)]


def _name(explanation: Explanation, among: Sequence[Explanation]) -> str:
    """What was explained; with batch, threads and host where not all have the same."""
    side = explanation.sides[0]
    text = " and ".join(called(one) for one in explanation.sides)
    others = [one.sides[0] for one in among]
    if len({(one.batch, one.threads) for one in others}) > 1:
        text += f", batch {side.batch}, {counted(side.threads, 'thread')}"
    if len({one.host.hostname for one in among}) > 1:
        text += f", {explanation.host.hostname}"
    return text


def _spec(
    values: Sequence[dict[str, Any]], lines: Sequence[dict[str, Any]], *, several: bool
) -> Spec:
    mmacs = sorted(value["mmac"] for value in values if value["mmac"])
    # Linear around 0, where modules without MACs stand; logarithmic from the fewest on.
    scale = {"type": "symlog", "constant": mmacs[0], "nice": False, "padding": 16}
    title = "million multiply-adds of one call"
    axis = {"values": [0, *_powers(mmacs[0], mmacs[-1])], "format": NUMBER}
    across = quantity("mmac", title, scale, axis=axis)
    times = (min(value["ms"] for value in values), max(value["ms"] for value in values))
    up_scale = {"type": "log", "nice": False, "padding": 16}
    up = quantity(
        "ms", "time in one call, ms", up_scale, axis={"values": _powers(*times), "format": NUMBER}
    )
    if several:
        marks = on_its_own(
            "side", "", order_of(values, "side", sorted({str(value["side"]) for value in values}))
        )
    else:
        marks = on_its_own("group", "", order_of(values, "group", ()))
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": list(lines)},
            "mark": {"type": "line", "strokeWidth": 1.5, "strokeDash": [2, 3], "color": QUIET},
            "encoding": {
                "x": quantity("line_mmac", title, scale, axis=axis),
                "y": quantity("line_ms", up["title"], up_scale),
                "detail": {"field": "side", "type": "nominal"},
            },
        }
    ]
    if several:
        layers.append(
            {
                "mark": {"type": "rule", "strokeWidth": 1, "opacity": 0.6, "color": QUIET},
                "encoding": {
                    "x": across,
                    "y": {**up, "aggregate": "min"},
                    "y2": {"field": "ms", "aggregate": "max"},
                    "detail": {"field": "module", "type": "nominal"},
                },
            }
        )
    layers.append(
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 0.8},
            "encoding": {
                "x": across,
                "y": up,
                **marks,
                "tooltip": [
                    shown("module", "module"),
                    shown("kind", "kind"),
                    shown("side", "artifact"),
                    shown("ms", "time, ms", ".4~g"),
                    shown("mmac", "MMAC", ".4~g"),
                    shown("time_share", "share of the time", ".1%"),
                    shown("macs_share", "share of the MACs", ".1%"),
                    shown("ran", "ran"),
                ],
            },
        }
    )
    if any(value["label"] for value in values):
        layers.append(
            {
                "transform": [{"filter": "datum.label !== ''"}],
                "mark": {
                    "type": "text",
                    "dy": -10,
                    "limit": 200,
                    "align": {"expr": "datum.align"},
                },
                "encoding": {"x": across, "y": up, "text": name("label", "")},
            }
        )
    return {"height": HEIGHT, "data": {"values": list(values)}, "layer": layers}


def _powers(least: float, most: float) -> list[float]:
    """Where a logarithmic axis has its marks: the powers of ten between, and of few of those the
    twofold and fivefold as well."""
    first, last = math.floor(math.log10(least)), math.ceil(math.log10(most))
    multiples = (1, 2, 5) if last - first < 3 else (1,)
    found = [
        multiple * 10.0**exponent for exponent in range(first, last + 1) for multiple in multiples
    ]
    return [float(f"{one:g}") for one in found if least <= one <= most]
