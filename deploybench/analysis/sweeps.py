"""What a sweep over batch sizes or streams shows.

That is where the sweep saturates, and what memory an added image costs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

from deploybench.statistics.levels import level_of, levels_of
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
    """Which sweep saturates at this cell, if one does, and what memory one more image takes."""

    saturates: Swept | None = None
    bytes_per_image: float | None = None


def sweep_findings(cells: Sequence[SweptCell]) -> list[SweepFinding]:
    """A finding a cell, in their order. A sweep is read within one state of the machine."""
    levels = levels_of([cell.hop_ns for cell in cells if cell.hop_ns is not None])
    # Each sweep maps the sizes that were tried to the index of the cell that tried them.
    over_batches: dict[Hashable, dict[int, int]] = defaultdict(dict)
    over_streams: dict[Hashable, dict[int, int]] = defaultdict(dict)
    for index, cell in enumerate(cells):
        if cell.images_per_s is None:
            continue
        state = level_of(levels, cell.hop_ns)
        over_batches[cell.sweep, cell.streams, state][cell.batch] = index
        over_streams[cell.sweep, cell.batch, state][cell.streams] = index
    saturates: dict[int, Swept] = {}
    slopes: dict[int, float | None] = {}
    for sizes in over_batches.values():
        saturated = _saturated(cells, sizes)
        if saturated is not None:
            saturates[saturated] = "batch"
        slope = _memory_slope(cells, sizes)
        for index in sizes.values():
            slopes[index] = slope
    for sizes in over_streams.values():
        saturated = _saturated(cells, sizes)
        if saturated is not None:
            saturates[saturated] = "streams"
    return [SweepFinding(saturates.get(index), slopes.get(index)) for index in range(len(cells))]


def _saturated(cells: Sequence[SweptCell], sizes: dict[int, int]) -> int | None:
    """The index of the cell from which on doubling gains no more."""
    rates = {size: cells[index].images_per_s or 0.0 for size, index in sizes.items()}
    point = saturation_point(rates)
    if point is None:
        return None
    return sizes[point]


def _memory_slope(cells: Sequence[SweptCell], sizes: dict[int, int]) -> float | None:
    """Bytes for each image more in the batch, from the smallest batch to the largest."""
    peaks: dict[int, float] = {}
    for size, index in sizes.items():
        peak_bytes = cells[index].steady_peak_bytes
        if peak_bytes is not None:
            peaks[size] = peak_bytes
    if len(peaks) < 2:
        return None
    smallest, largest = min(peaks), max(peaks)
    return (peaks[largest] - peaks[smallest]) / (largest - smallest)
