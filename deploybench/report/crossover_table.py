"""The crossover: latency against tokens for each attention, and from where on it beats softmax."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploybench.analysis.crossover import Crossover, Point, Shape
from deploybench.data.image_size import short_text
from deploybench.statistics.ratios import Answer

STYLES = {Answer.FASTER: "green", Answer.SLOWER: "red", Answer.SAME: "", Answer.AMBIGUOUS: "dim"}
MARKS = {Answer.AMBIGUOUS: " ?", Answer.SAME: " =", Answer.FASTER: "", Answer.SLOWER: ""}
LEGEND = (
    "p50 ms, times faster than softmax (paired by round; ?: AMBIGUOUS, =: SAME), MACs against "
    "softmax's"
)


def print_crossovers(found: Sequence[Crossover], console: Console) -> None:
    """A table a runner, precision and batch: a row an attention, a column a shape."""
    for (_, title), group in groupby(found, key=lambda one: (one.run, _title(one))):
        members = list(group)
        shapes = sorted({point.shape for one in members for point in one.points})
        console.print(Text(f"\n{title}: attention against softmax", style="bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("attention")
        for shape in shapes:
            table.add_column(_shape(shape), justify="right", no_wrap=True)
        table.add_column("beats softmax", no_wrap=True)
        softmax = {point.shape: point.softmax_ms for one in members for point in one.points}
        table.add_row("softmax", *(f"{softmax[shape]:.1f}" for shape in shapes), "")
        for one in members:
            by_shape = {point.shape: point for point in one.points}
            table.add_row(
                one.cell.model, *(_point(by_shape.get(shape)) for shape in shapes), _verdict(one)
            )
        console.print(table)
    if found:
        console.print(Text(LEGEND, style="dim"))


def _title(one: Crossover) -> str:
    cell = one.cell
    return (
        f"{cell.runner} · {cell.form} · run as {cell.precision} · batch {cell.batch} · "
        f"{cell.threads} threads"
    )


def _shape(shape: Shape) -> str:
    return f"{shape.tokens} tokens ({short_text(shape.image, shape.patch)})"


def _point(point: Point | None) -> Text:
    if point is None:
        return Text("–")
    text = Text(f"{point.p50_ms:.1f}  ")
    text.append(f"×{point.ratio.value:.2f}{MARKS[point.answer]}", style=STYLES[point.answer])
    if point.macs and point.softmax_macs:
        text.append(f"  {point.macs / point.softmax_macs - 1:+.0%}", style="dim")
    return text


def _verdict(one: Crossover) -> str:
    fewest, last = one.points[0].shape.tokens, one.points[-1]
    start = one.beats_from
    if start is not None:
        return (
            f"from {start} tokens"
            if start > fewest
            else f"from {start} tokens, the fewest measured"
        )
    if last.answer is Answer.AMBIGUOUS:
        return f"not settled at {last.shape.tokens} tokens: more rounds"
    return f"not up to {last.shape.tokens} tokens"
