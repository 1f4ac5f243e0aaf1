"""Pictures of a run whose cells were visited, for docs/how-we-measure.md.

Nothing is measured: the records of a run are read. SVG files are written into the folder:

trace.svg    one cell over time: the speed that the machine delivered, each visit's time as it was
             met, and the same time moved to full speed, with the estimate and its interval
slope.svg    the same visits, time against delivered speed: the calm ones and the line
cells.svg    every cell of the run: undisturbed, as met on median, and the slowest of a hundred
states.svg   where the machine was in several states: the hop over time, and the visits of each

    python -m benchmarks.draw_visits RUN [--model resnet50] [--runner onnxruntime]
        [--out docs/how-we-measure]

RUN is a folder of records or one record.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.analysis.visit_estimates import share_delivered
from deploybench.analysis.visit_states import visits_in
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record, StateSummary, Visited
from deploybench.results.store import read_records
from deploybench.statistics.samples import median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MET, ADJUSTED, MACHINE = "tab:orange", "tab:blue", "tab:gray"
NS_PER_MS = 1e6
Mark = tuple[float, int]
"""A time in ms, and the line of its cell."""
WIDTH = 9.0
"""Of a picture, inches."""
LOOK = {
    "svg.fonttype": "none",  # text stays text: small files, and it can be searched
    "svg.hashsalt": "deploybench",  # the same picture is the same file
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Point:
    """One visit: when, the share of its own speed that the machine gave beside it (the mean of the
    canary before and after), its median as met and moved to full speed, and whether it was calm."""

    at_s: float
    delivered: float
    met_ms: float
    adjusted_ms: float
    calm: bool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", help="of the cell of the first two pictures")
    parser.add_argument("--runner", help="of the cell of the first two pictures")
    parser.add_argument("--out", type=Path, default=Path("docs/how-we-measure"))
    options = parser.parse_args()
    records = visited_records(read_records(options.run))
    shown = chosen(records, options.model, options.runner)
    options.out.mkdir(parents=True, exist_ok=True)
    figures = {
        "trace": draw_trace(shown),
        "slope": draw_slope(shown),
        "cells": draw_cells(records),
    }
    if len(states_of(shown)) > 1:
        figures["states"] = draw_states(shown)
    for name, figure in figures.items():
        path = options.out / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
        print(path)
    print(caption_of(shown))


def visited_records(records: Sequence[Record]) -> list[Record]:
    """Those that have visits, readings of a canary and an estimate."""
    visited = [record for record in records if record.canary and record.visits and record.summary]
    if not visited:
        raise DeployBenchError(
            "no record of the run has visits beside a canary",
            action="measure with deploybench run, without --no-canary",
        )
    return visited


def chosen(records: Sequence[Record], model: str | None, runner: str | None) -> Record:
    """The record with most visits of those that were asked for."""
    members = []
    for record in records:
        if model in (None, record.cell.model) and runner in (None, record.cell.runner):
            members.append(record)
    if not members:
        cells = ", ".join(name_of(record) for record in records)
        raise DeployBenchError("no such cell in the run", expected=f"one of {cells}")
    return max(members, key=lambda record: len(record.visits))


def points_of(record: Record) -> list[Point]:
    """The visits that have a reading of the canary before and after them, in order of time, of the
    state of the machine that stands for the cell."""
    assert record.canary is not None  # of a record that has one
    visited = visited_of(record)
    points = []
    members = visits_in(record.visits, state_of(record).hop_ns)
    for visit in sorted(members, key=lambda visit: visit.at_s):
        if visit.before is None or visit.after is None or not visit.count:
            continue
        delivered = share_delivered(visit, record.canary)
        assert delivered is not None  # of a visit that has readings
        met_ms = visit.median_ns / NS_PER_MS
        # Along the slope in logarithms: at a slope of -1 half the speed doubles the time.
        adjusted_ms = met_ms / delivered**visited.slope
        calm = delivered >= visited.calm_share
        points.append(Point(visit.at_s, delivered, met_ms, adjusted_ms, calm))
    return points


def states_of(record: Record) -> tuple[StateSummary, ...]:
    """The estimates of a record with visits, one for each state of the machine."""
    assert record.summary is not None  # of a record that has one
    return record.summary.states


def state_of(record: Record) -> StateSummary:
    """The estimate that stands for the cell."""
    return states_of(record)[0]


def visited_of(record: Record) -> Visited:
    visited = state_of(record).visited
    assert visited is not None  # of a record with visits
    return visited


def name_of(record: Record) -> str:
    return f"{record.cell.model} on {record.cell.runner}"


def caption_of(record: Record) -> str:
    """What the first two pictures show, in a sentence for the page."""
    points = points_of(record)
    visited = visited_of(record)
    seconds = points[-1].at_s - points[0].at_s
    delivered = median([point.delivered for point in points])
    return (
        f"{name_of(record)}: {visited.visits} visits in {seconds:.0f} s, {visited.calm_visits} of "
        f"them calm. Beside half of them the machine delivered {delivered:.0%} of its own speed or "
        f"less. As met: {visited.experienced_p50_ms:.1f} ms on median; "
        f"{_estimate_text(state_of(record))}."
    )


def draw_trace(record: Record) -> Figure:
    """Over time: the machine above, the times as met in the middle, adjusted below."""
    points = points_of(record)
    figure, (machine, met, adjusted) = _panels(3)
    seconds = [point.at_s - points[0].at_s for point in points]
    share = visited_of(record).calm_share
    machine.axhspan(100 * share, 100, color="tab:green", alpha=0.15, linewidth=0)
    machine.plot(seconds, [100 * point.delivered for point in points], color=MACHINE, linewidth=1)
    machine.set_ylabel("speed that the\nmachine delivered, %")
    machine.set_ylim(0, 105 * max(1, *(point.delivered for point in points)))
    machine.set_title(
        f"{name_of(record)}: {len(points)} visits. Green: {share:.0%} of its own speed or more",
        loc="left",
        fontsize=10,
    )

    _dots(met, seconds, [point.met_ms for point in points], MET, "each visit as met")
    _level(met, visited_of(record).experienced_p50_ms, MET, "median as met")
    met.set_ylabel("time of a call, ms")

    values = [point.adjusted_ms for point in points]
    _dots(adjusted, seconds, values, ADJUSTED, "the same visits at full speed")
    state = state_of(record)
    _level(adjusted, state.p50_ms, ADJUSTED, _estimate_text(state))
    if state.p50_low_ms is not None and state.p50_high_ms is not None:
        adjusted.axhspan(state.p50_low_ms, state.p50_high_ms, color=ADJUSTED, alpha=0.2)
    adjusted.set_ylabel("time of a call, ms")
    adjusted.set_xlabel("seconds since the first visit")

    # The same scale on both, from 0: what is taken off is what the eye sees.
    top = 1.05 * max(point.met_ms for point in points)
    for axis in (met, adjusted):
        axis.set_ylim(0, top)
        axis.legend(loc="upper right", framealpha=0.8, edgecolor="none", ncols=2)
    return figure


def draw_states(record: Record) -> Figure:
    """Over time: the hop before each visit above, and what the visit took below."""
    figure, (hop, met) = _panels(2, height=4.5)
    for state, colour in zip(states_of(record), (ADJUSTED, MET, MACHINE), strict=False):
        members = visits_in(record.visits, state.hop_ns)
        seconds = [visit.at_s for visit in members]
        _dots(hop, seconds, [visit.hops_ns[0] for visit in members], colour, "")
        times_ms = [visit.median_ns / NS_PER_MS for visit in members]
        _dots(met, seconds, times_ms, colour, f"visits at {state.hop_ns:.0f} ns")
        _level(met, state.p50_ms, colour, f"{state.p50_ms:.2f} ms")
    hop.set_ylabel("hop from core\nto core, ns")
    hop.set_ylim(bottom=0)
    hop.set_title(name_of(record), loc="left", fontsize=10)
    met.set_ylabel("time of a call, ms")
    met.set_xlabel("seconds since the first visit")
    # From 0, with room for the legend.
    slowest_ms = max(visit.median_ns for visit in record.visits if visit.count) / NS_PER_MS
    met.set_ylim(0, 1.4 * slowest_ms)
    met.legend(loc="upper right", framealpha=0.8, edgecolor="none", ncols=2)
    return figure


def draw_slope(record: Record) -> Figure:
    """Time against delivered speed."""
    points = points_of(record)
    visited = visited_of(record)
    figure, (axis,) = _panels(1, height=4.0)
    axis.axvspan(100 * visited.calm_share, 100, color="tab:green", alpha=0.15, linewidth=0)
    for calm, colour, label in (
        (False, MET, "visits beside other work"),
        (True, ADJUSTED, f"calm visits: {visited.calm_share:.0%} or more on both sides"),
    ):
        members = [point for point in points if point.calm is calm]
        if members:
            shares = [100 * point.delivered for point in members]
            _dots(axis, shares, [point.met_ms for point in members], colour, label)
    if visited.whole_ms is not None:
        least = min(point.delivered for point in points)
        line = [least + step * (1 - least) / 50 for step in range(51)]
        times = [visited.whole_ms * share**visited.slope for share in line]
        label = f"the line of all visits: slope {visited.slope:.2f}"
        axis.plot([100 * share for share in line], times, color="black", linewidth=1, label=label)
    axis.set_xlabel("speed that the machine delivered beside the visit, % of its own")
    axis.set_ylabel("time of a call, ms")
    axis.set_ylim(bottom=0)
    axis.set_title(name_of(record), loc="left", fontsize=10)
    axis.legend(loc="upper right", framealpha=0.8, edgecolor="none")
    return figure


def draw_cells(records: Sequence[Record]) -> Figure:
    """A panel a model; in it a line a cell, from its undisturbed time over the median as met to the
    99th percentile."""
    by_model: dict[str, list[Record]] = {}
    for record in records:
        by_model.setdefault(record.cell.model, []).append(record)
    sizes = [len(members) for members in by_model.values()]
    figure, axes = _panels(
        len(by_model), height=0.35 * sum(sizes) + 0.9 * len(sizes), ratios=sizes, share_x=False
    )
    for axis, (model, members) in zip(axes, by_model.items(), strict=True):
        _draw_model(axis, members)
        axis.set_title(model, loc="left", fontsize=10)
    axes[-1].set_xlabel("time of a call, ms")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", frameon=False, ncols=4)
    return figure


def _draw_model(axis: Axes, members: Sequence[Record]) -> None:
    """The fastest undisturbed cell on top."""
    ordered = sorted(members, key=lambda record: -state_of(record).p50_ms)
    places = list(range(len(ordered)))
    for place, record in zip(places, ordered, strict=True):
        first, middle = state_of(record).p50_ms, visited_of(record).experienced_p50_ms
        last = _p99_ms(record) or middle
        ends = [min(first, middle), max(first, last)]
        axis.plot(ends, [place, place], color="lightgray", linewidth=1, zorder=1)
    known: list[Mark] = []
    unknown: list[Mark] = []
    met: list[Mark] = []
    tails: list[Mark] = []
    for place, record in zip(places, ordered, strict=True):
        undisturbed = (state_of(record).p50_ms, place)
        if visited_of(record).known:
            known.append(undisturbed)
        else:
            unknown.append(undisturbed)
        met.append((visited_of(record).experienced_p50_ms, place))
        tail_ms = _p99_ms(record)
        if tail_ms is not None:
            tails.append((tail_ms, place))
    _marks(axis, known, "o", ADJUSTED, "undisturbed")
    _marks(axis, unknown, "o", ADJUSTED, "undisturbed, not known", hollow=True)
    _marks(axis, met, "o", MET, "as met, half of the calls")
    _marks(axis, tails, "|", MET, "as met, 99 of 100 calls")
    axis.set_yticks(places, [_label(record, ordered) for record in ordered])
    axis.set_ylim(-0.6, len(ordered) - 0.4)
    axis.set_xlim(left=0)


def _marks(
    axis: Axes, marks: Sequence[Mark], marker: str, colour: str, label: str, hollow: bool = False
) -> None:
    inside = "full"
    if hollow:
        inside = "none"
    times, places = [mark[0] for mark in marks], [mark[1] for mark in marks]
    axis.plot(times, places, marker, color=colour, fillstyle=inside, label=label)


def _label(record: Record, beside: Sequence[Record]) -> str:
    """The runner, with its precision where it competes with itself."""
    alike = [other for other in beside if other.cell.runner == record.cell.runner]
    if len(alike) > 1:
        return f"{record.cell.runner} {record.cell.precision}"
    return record.cell.runner


def _p99_ms(record: Record) -> float | None:
    for percentile in state_of(record).percentiles:
        if percentile.fraction == 0.99:
            return percentile.ms
    return None


def _estimate_text(state: StateSummary) -> str:
    text = f"undisturbed: {state.p50_ms:.1f} ms"
    if state.visited is not None and not state.visited.known:
        text = f"undisturbed, not known: perhaps {state.p50_ms:.1f} ms"
    if state.p50_low_ms is None or state.p50_high_ms is None:
        return text
    return f"{text} ({state.p50_low_ms:.1f} to {state.p50_high_ms:.1f})"


def _panels(
    count: int,
    height: float = 6.5,
    ratios: Sequence[int] | None = None,
    share_x: bool = True,
) -> tuple[Figure, Sequence[Axes]]:
    """Panels above each other, ``ratios`` high, on one horizontal axis if they share it."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update(LOOK)
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        count,
        1,
        figsize=(WIDTH, height),
        sharex=share_x,
        squeeze=False,
        height_ratios=ratios,
        layout="constrained",
    )
    return figure, list(axes[:, 0])


def _dots(axis: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axis.plot(x, y, ".", color=colour, markersize=4, alpha=0.7, label=label)


def _level(axis: Axes, value: float, colour: str, label: str) -> None:
    axis.axhline(value, color=colour, linewidth=1, linestyle="--", label=label)


if __name__ == "__main__":
    main()
