"""How far a sweep over batch sizes goes: 1, 2, 4, … until it stops to pay or memory runs short.

This looks ahead with one short launch a size; what it finds is then measured like every other cell, in rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psutil

from deploybench.benchmark import RunSettings, job_of
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.plan import Planned
from deploybench.results import Launch
from deploybench.saturation import SMALLEST_GAIN

LOOK_S = 0.3
LARGEST_BATCH = 1024
LONGEST_CALL_S = 5.0
MEMORY_SHARE = 0.8
"""Of what is available now: the next size is not tried when it would need more."""


def with_auto_batches(
    planned: Sequence[Planned],
    settings: RunSettings,
    *,
    start: Callable[[Planned], None] = lambda planned: None,
    launch: Callable[[Job], Launch] = run_job,
    available_bytes: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
) -> list[Planned]:
    """Each cell once for every batch size of its sweep; ``planned`` has batch size 1. Skipped cells stay as they are.

    The last size is the first that gained less than 5 %, so that the table shows where it saturates.
    """
    widened = []
    for cell in planned:
        if cell.skip is not None:
            widened.append(cell)
            continue
        start(cell)
        for size in _sizes(cell, settings, launch, available_bytes):
            widened.append(_at(cell, size))
    return widened


def doublings(limit: int) -> list[int]:
    """1, 2, 4, … up to ``limit``, and ``limit`` itself."""
    powers = [1 << power for power in range(limit.bit_length())]
    return list(dict.fromkeys([*powers, limit]))


def _sizes(
    cell: Planned, settings: RunSettings, launch: Callable[[Job], Launch], available_bytes: Callable[[], int]
) -> list[int]:
    sizes, rate, peak = [1], 0.0, 0
    size = 1
    while size <= LARGEST_BATCH:
        looks = [_look(cell, size, settings, launch)]
        if looks[0] is not None and looks[0].rate < rate * (1 + SMALLEST_GAIN):
            looks.append(_look(cell, size, settings, launch))  # one look may have met a disturbance
        seen = [look for look in looks if look is not None]
        if len(seen) < len(looks):
            break
        sizes.append(size)
        best = max(seen, key=lambda look: look.rate)
        growth = best.peak_bytes - peak
        if best.rate < rate * (1 + SMALLEST_GAIN) or 2 * best.call_s > LONGEST_CALL_S:
            break
        if size > 1 and 2 * growth > MEMORY_SHARE * available_bytes():
            break
        rate, peak, size = best.rate, best.peak_bytes, 2 * size
    return list(dict.fromkeys(sizes))


@dataclass(frozen=True)
class Look:
    """What one short launch showed: images a second, the peak memory, and the time of one call."""

    rate: float
    peak_bytes: int
    call_s: float


def _look(cell: Planned, size: int, settings: RunSettings, launch: Callable[[Job], Launch]) -> Look | None:
    """None when the launch failed: out of memory, say."""
    found = launch(job_of(_at(cell, size), replace(settings, duration_s=LOOK_S, min_samples=3)))
    if not found.measured or found.memory is None:
        return None
    return Look(size * len(found.steady_ns) / found.window_ns, found.memory.peak_bytes, found.median_ms / 1e3)


def _at(cell: Planned, size: int) -> Planned:
    return replace(cell, cell=cell.cell.model_copy(update={"batch": size}))
