"""The table of lower bounds.

It shares nothing with measured rows: a bound is not a time that anybody saw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploybench.data.image_size import short_text
from deploybench.models.counting import ModelCount
from deploybench.report.table import Column, Table, table_of
from deploybench.results.record import Bound

SMALLEST_IN_MS = 0.1
REMARK = (
    "Bounds, not measurements: every multiply-add at the profile's peak and clock; weights, input "
    "and output moved once a call, less what fits into the caches (MB). Launch overhead is not in "
    "it: a GPU takes microseconds for each kernel, so that a small model at batch 1 is far above "
    "its bound. compute, memory: the time of either alone. unfused: with what every layer reads "
    "and writes moved as well; no bound. What it takes in truth, deploybench run measures on that "
    "hardware."
)


@dataclass(frozen=True)
class BoundRow:
    """The bound of one model of one size on one profile."""

    model: str
    count: ModelCount
    bound: Bound

    @property
    def flops_per_image(self) -> int:
        return self.bound.flops // self.bound.batch


def _time_column(
    key: str, title: str, read: Callable[[BoundRow], float | None], priority: int = 1
) -> Column[BoundRow]:
    """A column of times, which ``read`` gives in ms."""
    return Column(key, title, lambda row: time_text(read(row)), number=True, priority=priority)


COLUMNS = (
    Column[BoundRow]("model", "model", lambda row: row.model),
    Column[BoundRow](
        "image_size", "px", lambda row: short_text(row.count.image_size, row.count.patch_size)
    ),
    Column[BoundRow]("profile", "profile", lambda row: row.bound.roof),
    Column[BoundRow]("precision", "prec", lambda row: row.bound.precision),
    Column[BoundRow]("batch", "b", lambda row: str(row.bound.batch), number=True),
    Column[BoundRow](
        "gmacs_per_image",
        "GMAC",
        lambda row: _some_digits(row.flops_per_image / 2e9),
        number=True,
        priority=2,
    ),
    Column[BoundRow](
        "moved_mb",
        "MB",
        lambda row: f"{row.bound.moved_bytes / 1e6:.1f}",
        number=True,
        priority=2,
    ),
    _time_column("bound_ms", "at least", lambda row: row.bound.latency_ms),
    Column[BoundRow]("limited_by", "limit", lambda row: row.bound.limited_by),
    _time_column("compute_ms", "compute", lambda row: row.bound.compute_ms, priority=3),
    _time_column("memory_ms", "memory", lambda row: row.bound.memory_ms, priority=3),
    _time_column("unfused_ms", "unfused", lambda row: row.bound.unfused_ms, priority=3),
)


def bound_table(rows: Sequence[BoundRow]) -> Table:
    return table_of(COLUMNS, rows, legend=REMARK, data=bound_data)


def bound_data(row: BoundRow) -> dict[str, object]:
    """One bound, flat; ``kind`` says that it is one."""
    bound = row.bound
    return {
        "kind": "bound",
        "model": row.model,
        "image_size": list(row.count.image_size),
        "patch_size": row.count.patch_size,
        "profile": bound.roof,
        "precision": bound.precision,
        "batch": bound.batch,
        "flops_per_image": row.flops_per_image,
        "moved_bytes": bound.moved_bytes,
        "compute_ms": bound.compute_ms,
        "memory_ms": bound.memory_ms,
        "bound_ms": bound.latency_ms,
        "bound_images_per_s": bound.images_per_s,
        "limited_by": bound.limited_by,
        "unfused_bytes": bound.unfused_bytes,
        "unfused_ms": bound.unfused_ms,
    }


def time_text(milliseconds: float | None) -> str:
    """Three digits that count, in ms or, below a tenth of one, in µs."""
    if milliseconds is None:
        return "n/a"
    if milliseconds >= SMALLEST_IN_MS:
        return f"{milliseconds:.3f} ms"
    return f"{milliseconds * 1e3:.3g} µs"


def _some_digits(value: float) -> str:
    """Three decimals; more where those would all be zeros."""
    if 0 < value < 0.0005:
        return f"{value:.1e}"
    if value < 10:
        return f"{value:.3f}"
    return f"{value:.2f}"
