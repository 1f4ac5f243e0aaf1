"""What a sweep over batch sizes or streams shows: where it saturates, and what memory an added
image costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from deploybench.analysis.states import levels_of, nearest
from deploybench.statistics.saturation import saturation_point

Swept = Literal["batch", "streams"]


@dataclass(frozen=True)
class SweptCell:
    """A cell in one state of the machine, as a sweep looks at it.

    ``sweep`` holds all that cells of one sweep have in common but batch and streams.
    """

    sweep: Hashable
    batch: int
    streams: int
    hop_ns: float | None
    images_per_s: float | None
    steady_peak_bytes: float | None


@dataclass(frozen=True)
class SweepFinding:
    """Which sweep saturates at this cell, if one does, and the bytes that an image more takes."""

    saturates: Swept | None = None
    bytes_per_image: float | None = None


def sweep_findings(cells: Sequence[SweptCell]) -> list[SweepFinding]:
    """A finding a cell, in their order. A sweep is read within one state of the machine."""
    levels = levels_of([cell.hop_ns for cell in cells if cell.hop_ns is not None])
    over_batches: dict[Hashable, dict[int, int]] = defaultdict(dict)
    over_streams: dict[Hashable, dict[int, int]] = defaultdict(dict)
    for index, cell in enumerate(cells):
        if cell.images_per_s is None:
            continue
        state = None if cell.hop_ns is None else nearest(levels, cell.hop_ns)
        over_batches[cell.sweep, cell.streams, state][cell.batch] = index
        over_streams[cell.sweep, cell.batch, state][cell.streams] = index
    saturates: dict[int, Swept] = {}
    slopes: dict[int, float | None] = {}
    for sizes in over_batches.values():
        saturated = _saturated(cells, sizes)
        if saturated is not None:
            saturates[saturated] = "batch"
        slope = _memory_slope(
            {size: cells[index].steady_peak_bytes for size, index in sizes.items()}
        )
        for index in sizes.values():
            slopes[index] = slope
    for sizes in over_streams.values():
        saturated = _saturated(cells, sizes)
        if saturated is not None:
            saturates[saturated] = "streams"
    return [SweepFinding(saturates.get(index), slopes.get(index)) for index in range(len(cells))]


def _saturated(cells: Sequence[SweptCell], sizes: dict[int, int]) -> int | None:
    """The index of the cell at which doubling stops to gain."""
    rates = {size: cells[index].images_per_s or 0.0 for size, index in sizes.items()}
    point = saturation_point(rates)
    return None if point is None else sizes[point]


def _memory_slope(peaks: dict[int, float | None]) -> float | None:
    """Bytes for each image more in the batch, from the smallest batch to the largest."""
    known = {size: peak for size, peak in peaks.items() if peak is not None}
    if len(known) < 2:
        return None
    small, large = min(known), max(known)
    return (known[large] - known[small]) / (large - small)
