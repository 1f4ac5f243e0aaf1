"""What more images at once bring: the rate over the batch, over the streams, over the threads; and
what larger images cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deploybench.analysis.crossover import Crossover
from deploybench.data.image_size import short_text
from deploybench.pages.machines import Entry, Run
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import (
    HEIGHT,
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
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row

MOST_VIEWS = 30


@dataclass(frozen=True)
class Sweep:
    """A figure along something that was asked for in steps.

    ``along`` reads the step; ``line`` is what has its own line, ``same`` what has to be equal on
    one view. ``figure`` is the height of a mark.
    """

    about: About
    step_title: str
    figure_title: str
    along: Callable[[Entry], float]
    step: Callable[[Entry], str]
    figure: Callable[[Row], float | None]
    line: Callable[[Entry], str]
    view: Callable[[Entry], str]
    same: Callable[[Row], tuple[object, ...]]
    more_is_better: bool


def _line_of_runner(entry: Entry) -> str:
    row = entry.row
    parts = [row.runner, row.precision]
    if row.device != "cpu":
        parts.append(f"on {row.device}")
    return " ".join([*parts, *row.options.option_marks])


def _job(entry: Entry) -> str:
    cell = entry.finding.record.cell
    return f"{cell.model} {short_text(cell.image_size, cell.patch_size)}"


def _throughput(
    about: About,
    step_title: str,
    along: Callable[[Row], int],
    same: Callable[[Row], tuple[object, ...]],
) -> Sweep:
    """The rate of each runner over what ``along`` reads, a view for each model."""
    return Sweep(
        about=about,
        step_title=step_title,
        figure_title="images/s",
        along=lambda entry: along(entry.row),
        step=lambda entry: str(along(entry.row)),
        figure=lambda row: row.throughput_images_per_s,
        line=_line_of_runner,
        view=_job,
        same=same,
        more_is_better=True,
    )


BATCHES = _throughput(
    About(
        key="batches",
        title="Throughput against batch",
        short="Batch",
        reading=(
            "Images per second of wall time. Where a line goes flat, a larger batch only waits "
            "longer; one that falls has outgrown a cache or the memory. Hollow marks are not VALID."
        ),
    ),
    "batch",
    along=lambda row: row.batch,
    same=lambda row: (row.streams, row.asked_threads, row.timing),
)
STREAMS = _throughput(
    About(
        key="streams",
        title="Throughput against streams",
        short="Streams",
        reading=(
            "Images per second of wall time with so many calls under way at once, in the same "
            "budget of threads. Hollow marks are not VALID."
        ),
    ),
    "streams",
    along=lambda row: row.streams,
    same=lambda row: (row.batch, row.asked_threads, row.timing),
)
SIZES = Sweep(
    about=About(
        key="image-size",
        title="Latency against image size",
        short="Image size",
        reading=(
            "The median of a call for images of so many pixels a side. An attention whose work "
            "grows with the square of the tokens rises the fastest; where lines cross, the order "
            "of the models turns round. Hollow marks are not VALID."
        ),
    ),
    step_title="pixels a side",
    figure_title="median of a call, ms",
    along=lambda entry: float(entry.finding.record.cell.image_size[0]),
    step=lambda entry: short_text(entry.finding.record.cell.image_size),
    figure=lambda row: row.p50_ms,
    line=lambda entry: entry.row.model,
    view=_line_of_runner,
    same=lambda row: (row.batch, row.streams, row.asked_threads, row.timing, row.patch_size),
    more_is_better=False,
)


def sweep_views(run: Run, sweep: Sweep, view_name: str) -> Iterator[View]:
    """A view for each model (or runner) of which a line has two steps or more."""
    views: dict[tuple[str, tuple[object, ...]], dict[str, list[Entry]]] = {}
    for entry in run.entries:
        if not entry.row.main_state or sweep.figure(entry.row) is None:
            continue
        place = (sweep.view(entry), sweep.same(entry.row))
        views.setdefault(place, {}).setdefault(sweep.line(entry), []).append(entry)
    made = 0
    for (name, _), lines in views.items():
        swept = {}
        for line, entries in lines.items():
            if len({sweep.along(entry) for entry in entries}) > 1:
                swept[line] = entries
        if not swept or made >= MOST_VIEWS:
            continue
        made += 1
        whole_name = f"{name}, {view_name}" if view_name else name
        view = _view(sweep, swept, whole_name)
        if sweep is SIZES:
            drawn = [entry.finding.record for entries in swept.values() for entry in entries]
            said = crossovers_in_words(run.crossed, drawn)
            view = replace(view, caption="\n".join([view.caption, *said]))
        yield view


def crossovers_in_words(crossed: Sequence[Crossover], drawn: Sequence[Record]) -> list[str]:
    """From how many tokens on each attention beats softmax, of those that are drawn."""
    said = []
    for crossover in crossed:
        points = crossover.points
        if not any(point.cell == record.cell for point in points for record in drawn):
            continue
        name = f"{crossover.cell.model} on {crossover.cell.runner}"
        if crossover.beats_from is None:
            most = max(point.shape.tokens for point in points)
            said.append(f"{name} is not clearly faster than softmax at {most} tokens, the most.")
        else:
            said.append(f"{name} is faster than softmax from {crossover.beats_from} tokens on.")
    return said


def _view(sweep: Sweep, lines: dict[str, list[Entry]], view_name: str) -> View:
    values = []
    for line, entries in lines.items():
        for entry in sorted(entries, key=sweep.along):
            values.append(_value(sweep, line, entry))
    table = table_of_values(
        values,
        ("line", "line"),
        ("step", sweep.step_title),
        ("figure", sweep.figure_title, three_digits),
        ("ms", "p50 ms", three_digits),
        ("verdict", "verdict"),
    )
    spec = _spec(sweep, inert_values(values))
    return View(view_name, _caption(sweep, values), spec, table)


def _value(sweep: Sweep, line: str, entry: Entry) -> dict[str, Any]:
    row = entry.row
    return {
        "line": line,
        "along": sweep.along(entry),
        "step": sweep.step(entry),
        "figure": sweep.figure(row),
        "ms": row.p50_ms,
        "verdict": row.verdict.value,
    }


def _caption(sweep: Sweep, values: Sequence[dict[str, Any]]) -> str:
    """The best figure, where it is, and how it is at the ends of that line."""
    choose = max if sweep.more_is_better else min
    best = choose(values, key=lambda value: float(value["figure"]))
    members = [value for value in values if value["line"] == best["line"]]
    first, last = members[0], members[-1]
    word = "The most" if sweep.more_is_better else "The least"
    doubt = "" if best["verdict"] == Verdict.VALID.value else f" ({best['verdict']})"
    return (
        f"{word}: {best['line']} at {sweep.step_title} {best['step']}, "
        f"{three_digits(best['figure'])} {_unit(sweep)}{doubt}. Along that line from "
        f"{three_digits(first['figure'])} at {first['step']} to {three_digits(last['figure'])} at "
        f"{last['step']}. {counted(len(values), 'cell')}."
    )


def _unit(sweep: Sweep) -> str:
    return sweep.figure_title.rpartition(", ")[2]


def _spec(sweep: Sweep, values: Sequence[dict[str, Any]]) -> Spec:
    steps = sorted({float(value["along"]) for value in values})
    across = quantity(
        "along",
        sweep.step_title,
        {"type": "log", "base": 2, "nice": False, "padding": 24},
        axis={"values": steps, "format": "d", "grid": True},
    )
    height = scale_of([value["figure"] for value in values])
    if height.get("type") != "log":
        # A line that falls by a tenth must not look as if nothing were left.
        height = {"zero": True, "nice": True}
    up = quantity("figure", sweep.figure_title, height)
    marks = on_its_own("line", "", order_of(values, "line", ()))
    tooltip = [
        shown("line", "line"),
        shown("step", sweep.step_title),
        shown("figure", sweep.figure_title, ".4~g"),
        shown("ms", "median, ms", ".4~g"),
        shown("verdict", "verdict"),
    ]
    return {
        "height": HEIGHT,
        "data": {"values": list(values)},
        "encoding": {"x": across, "y": up},
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {"color": marks["color"]}},
            *points_by_verdict(values, {**marks, "tooltip": tooltip}, size=80),
        ],
    }
