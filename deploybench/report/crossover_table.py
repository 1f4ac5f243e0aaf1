"""The crossover: latency against tokens for each attention, and from where on it beats softmax."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploybench.crossover import Crossover, Point
from deploybench.ratios import Answer

STYLES = {Answer.FASTER: "green", Answer.SLOWER: "red", Answer.SAME: "", Answer.AMBIGUOUS: "dim"}
MARKS = {Answer.AMBIGUOUS: " ?", Answer.SAME: " =", Answer.FASTER: "", Answer.SLOWER: ""}


def print_crossovers(found: Sequence[Crossover], console: Console) -> None:
    """A table a runner, precision and batch: a row an attention, a column a number of tokens."""
    for (runner, precision, batch), group in groupby(found, key=lambda one: (one.runner, one.precision, one.batch)):
        members = list(group)
        tokens = sorted({point.tokens for one in members for point in one.points})
        console.print(Text(f"\n{runner} · {precision} · batch {batch}: attention against softmax", style="bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column("attention")
        for count in tokens:
            table.add_column(f"{count} tokens", justify="right", no_wrap=True)
        table.add_column("beats softmax", no_wrap=True)
        softmax = {count: ms for one in members for count, ms in one.softmax_ms.items()}
        table.add_row("softmax", *(_milliseconds(softmax.get(count)) for count in tokens), "")
        for one in members:
            by_tokens = {point.tokens: point for point in one.points}
            table.add_row(one.attention, *(_point(by_tokens.get(count)) for count in tokens), _verdict(one))
        console.print(table)
    if found:
        legend = "p50 ms, times faster than softmax (paired by round; ?: AMBIGUOUS, =: SAME), MACs against softmax's"
        console.print(Text(legend, style="dim"))


def _point(point: Point | None) -> Text:
    if point is None:
        return Text("–")
    text = Text(f"{point.p50_ms:.1f}  ")
    text.append(f"×{point.ratio.value:.2f}{MARKS[point.answer]}", style=STYLES[point.answer])
    if point.macs and point.softmax_macs:
        text.append(f"  {point.macs / point.softmax_macs - 1:+.0%}", style="dim")
    return text


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _verdict(one: Crossover) -> str:
    fewest, most = one.points[0].tokens, one.points[-1].tokens
    start = one.beats_from
    if start is None:
        return f"not up to {most} tokens"
    return f"from {start} tokens" if start > fewest else f"from {start} tokens, the fewest measured"
