"""What a sweep over batch sizes or streams shows: where it saturates, and what memory an added
image costs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from deploybench.analysis.states import levels_of, nearest
from deploybench.rows.row import Row
from deploybench.statistics.saturation import saturation_point


def with_sweeps(rows: Sequence[Row]) -> list[Row]:
    """Mark where a sweep over batch sizes or streams saturates, and what memory an added image
    costs.

    A sweep is read within one state of the machine.
    """
    found = list(rows)
    levels = levels_of([row.state_hop_ns for row in rows if row.state_hop_ns is not None])
    for swept, fixed in (("batch", "streams"), ("streams", "batch")):
        sweeps: dict[tuple[object, ...], dict[int, int]] = defaultdict(dict)
        for index, row in enumerate(found):
            if row.throughput_images_per_s is not None:
                state = None if row.state_hop_ns is None else nearest(levels, row.state_hop_ns)
                sweep = (*_sweep_of(row), getattr(row, fixed), state)
                sweeps[sweep][getattr(row, swept)] = index
        for sizes in sweeps.values():
            rates = {
                size: found[index].throughput_images_per_s or 0.0 for size, index in sizes.items()
            }
            point = saturation_point(rates)
            slope = _memory_slope(
                {size: found[index].steady_peak_memory_mib for size, index in sizes.items()}
            )
            for size, index in sizes.items():
                if size == point:
                    found[index] = replace(found[index], saturates=swept)
                if swept == "batch" and slope is not None:
                    found[index] = replace(found[index], memory_per_image_mib=slope)
    return found


def _sweep_of(row: Row) -> tuple[object, ...]:
    return (row.run, row.job, row.form, row.runner, row.device, row.precision, row.timing)


def _memory_slope(peaks: dict[int, float | None]) -> float | None:
    """MiB for each image more in the batch, from the smallest batch to the largest."""
    known = {size: peak for size, peak in peaks.items() if peak is not None}
    if len(known) < 2:
        return None
    small, large = min(known), max(known)
    return (known[large] - known[small]) / (large - small)
