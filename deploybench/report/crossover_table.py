"""The crossover: latency against tokens for each attention, and from where on it beats softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from deploybench.analysis.crossover import Crossover, Point, Shape
from deploybench.data.image_size import short_text
from deploybench.plurals import counted
from deploybench.report.figures import ANSWER_STYLES
from deploybench.report.table import NOTHING, Column, Style, Table, table_of
from deploybench.statistics.ratios import Answer

MARKS = {Answer.AMBIGUOUS: " ?", Answer.SAME: " =", Answer.FASTER: "", Answer.SLOWER: ""}
LEGEND = (
    "p50 ms, times faster than softmax (paired by round; ?: AMBIGUOUS, =: SAME), MACs against "
    "softmax's"
)


@dataclass(frozen=True)
class AttentionRow:
    """One attention at every shape that it was measured at.

    ``softmax_ms`` are the baseline's times; the row of softmax itself has no ``points``.
    """

    attention: str
    points: Mapping[Shape, Point]
    softmax_ms: Mapping[Shape, float]
    verdict: str


def crossover_tables(crossovers: Sequence[Crossover]) -> list[Table]:
    """A table a runner, precision and batch: a row an attention, a column a shape."""
    tables = []
    for (_, title), group in groupby(crossovers, key=_run_and_title):
        members = list(group)
        softmax: dict[Shape, float] = {}
        for member in members:
            for point in member.points:
                softmax[point.shape] = point.softmax_ms
        shapes = sorted(softmax)
        rows = [AttentionRow("softmax", {}, softmax, "")]
        for member in members:
            by_shape = {point.shape: point for point in member.points}
            rows.append(AttentionRow(member.cell.model, by_shape, softmax, _verdict(member)))
        columns = [
            Column[AttentionRow]("attention", "attention", lambda row: row.attention),
            *(_shape_column(shape) for shape in shapes),
            Column[AttentionRow]("beats_softmax", "beats softmax", lambda row: row.verdict),
        ]
        table = table_of(columns, rows, title=f"{title}: attention against softmax", legend=LEGEND)
        tables.append(Table(table.columns, table.groups, table.title, table.legend))
    return tables


def _shape_column(shape: Shape) -> Column[AttentionRow]:
    return Column(
        key=f"tokens_{shape.tokens}",
        title=f"{shape.tokens} tokens ({short_text(shape.image, shape.patch)})",
        show=_text_at(shape),
        number=True,
        style=lambda row: _style(row.points.get(shape)),
    )


def _text_at(shape: Shape) -> Callable[[AttentionRow], str]:
    def write(row: AttentionRow) -> str:
        if not row.points:
            return f"{row.softmax_ms[shape]:.1f}"
        point = row.points.get(shape)
        if point is None:
            return NOTHING
        text = f"{point.p50_ms:.1f}  ×{point.ratio.value:.2f}{MARKS[point.answer]}"
        if point.macs and point.softmax_macs:
            text += f"  {point.macs / point.softmax_macs - 1:+.0%}"
        return text

    return write


def _style(point: Point | None) -> Style:
    if point is None:
        return Style.PLAIN
    return ANSWER_STYLES[point.answer]


def _run_and_title(crossover: Crossover) -> tuple[str, str]:
    """What the crossovers of one table have in common."""
    return crossover.run, _title(crossover)


def _title(crossover: Crossover) -> str:
    cell = crossover.cell
    return (
        f"{cell.runner} · {cell.form} · run as {cell.precision} · batch {cell.batch} · "
        f"{counted(cell.threads, 'thread')}"
    )


def _verdict(crossover: Crossover) -> str:
    fewest, last = crossover.points[0].shape.tokens, crossover.points[-1]
    start = crossover.beats_from
    if start is not None and start > fewest:
        return f"from {start} tokens"
    if start is not None:
        return f"from {start} tokens, the fewest measured"
    if last.answer is Answer.AMBIGUOUS:
        return f"not settled at {last.shape.tokens} tokens: more rounds"
    return f"not up to {last.shape.tokens} tokens"
