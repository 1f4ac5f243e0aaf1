"""The table of lower bounds.

It shares nothing with measured rows: a bound is not a time that anybody saw.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from deploybench.data.image_size import short_text
from deploybench.models.counting import ModelCount
from deploybench.report.tables import print_table
from deploybench.results.record import Bound

COLUMNS = [
    "model",
    "px",
    "profile",
    "prec",
    "b",
    "GMAC",
    "MB",
    "at least",
    "limit",
    "compute",
    "memory",
    "unfused",
]
SMALLEST_IN_MS = 0.1
REMARK = (
    "Bounds, not measurements: every multiply-add at the profile's peak and clock; weights, input "
    "and output moved "
    "once a call, less what fits into the caches (MB). Launch overhead is not in it: a GPU takes "
    "microseconds for each kernel, so that a small model at batch 1 is far above its bound. "
    "compute, memory: the time of either alone. unfused: with what "
    "every layer reads and writes moved as well; no bound. What it takes in truth, deploybench run "
    "measures on that "
    "hardware."
)


def bound_row(model: str, count: ModelCount, bound: Bound) -> dict[str, Any]:
    """One bound, flat; ``kind`` says that it is one."""
    return {
        "kind": "bound",
        "model": model,
        "image_size": list(count.image_size),
        "patch_size": count.patch_size,
        "profile": bound.roof,
        "precision": bound.precision,
        "batch": bound.batch,
        "flops_per_image": bound.flops // bound.batch,
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


def print_bounds(rows: Sequence[dict[str, Any]], console: Console) -> None:
    texts = [
        [
            row["model"],
            short_text(row["image_size"], row["patch_size"]),
            row["profile"],
            row["precision"],
            str(row["batch"]),
            f"{row['flops_per_image'] / 2e9:.2f}",
            f"{row['moved_bytes'] / 1e6:.1f}",
            time_text(row["bound_ms"]),
            row["limited_by"],
            time_text(row["compute_ms"]),
            time_text(row["memory_ms"]),
            time_text(row["unfused_ms"]),
        ]
        for row in rows
    ]
    print_table(COLUMNS, texts, console)
    console.print(REMARK, style="dim")
