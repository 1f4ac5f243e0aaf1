"""How far a sweep over batch sizes goes: 1, 2, 4, … until it stops paying or memory runs short.

This looks ahead with one short launch a size; what it finds is then measured like every other cell,
in rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import psutil

from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host, describe_host, gpu_of
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.runs.run import job_of
from deploybench.runs.settings import RunSettings
from deploybench.statistics.saturation import SMALLEST_GAIN

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
    host: Callable[[], Host] = describe_host,
) -> list[Planned]:
    """Each cell once for every batch size of its sweep; ``planned`` has batch size 1. Skipped cells
    stay as they are.

    The last size is the first that gained less than 5 %, so that the table shows where it
    saturates. A sweep that ends because a launch failed has that size too, as a skipped cell with
    the cause.
    """
    widened = []
    for cell in planned:
        if cell.skip is not None:
            widened.append(cell)
            continue
        start(cell)
        widened += _sweep(
            cell, settings, launch, Memory(available_bytes, gpu_of(cell.cell.device, host()))
        )
    return widened


def doublings(limit: int) -> list[int]:
    """1, 2, 4, … up to ``limit``, and ``limit`` itself."""
    powers = [1 << power for power in range(limit.bit_length())]
    return list(dict.fromkeys([*powers, limit]))


@dataclass(frozen=True)
class Memory:
    """What is left for a larger batch: of the machine, and of the GPU that the cell runs on, if it
    runs on one."""

    available_bytes: Callable[[], int]
    gpu: Gpu | None

    def holds_the_next(self, before: Look, after: Look) -> bool:
        """Whether a size that grows by twice as much as ``after`` did over ``before`` still fits,
        on the host and on the GPU. What the driver does not tell of a GPU is no limit: the launch
        that fails is one."""
        growth = after.peak_bytes - before.peak_bytes
        if 2 * growth > MEMORY_SHARE * self.available_bytes():
            return False
        if self.gpu is None or after.gpu_bytes is None or before.gpu_bytes is None:
            return True
        left = self.gpu.memory_bytes - after.gpu_bytes - after.others_gpu_bytes
        return 2 * (after.gpu_bytes - before.gpu_bytes) <= MEMORY_SHARE * left


@dataclass(frozen=True)
class Look:
    """What one short launch showed: images a second, the peak memory, and the time of one call.

    ``gpu_bytes`` is what the driver holds for the process on the GPU, None where it does not tell;
    ``others_gpu_bytes`` what other processes hold there.
    """

    rate: float
    peak_bytes: int
    call_s: float
    gpu_bytes: int | None = None
    others_gpu_bytes: int = 0


def _sweep(
    cell: Planned, settings: RunSettings, launch: Callable[[Job], Launch], memory: Memory
) -> list[Planned]:
    cells: list[Planned] = []
    before: Look | None = None
    size = 1
    while size <= LARGEST_BATCH:
        wanted = 0.0 if before is None else before.rate * (1 + SMALLEST_GAIN)
        looks = [_look(cell, size, settings, launch)]
        if isinstance(looks[0], Look) and looks[0].rate < wanted:
            looks.append(_look(cell, size, settings, launch))  # one look may have met a disturbance
        seen = [look for look in looks if isinstance(look, Look)]
        if len(seen) < len(looks):
            failed = next(look for look in looks if isinstance(look, str))
            cells.append(
                _at(cell, size)
                if size == 1
                else replace(_at(cell, size), skip=f"the sweep ends: {failed}")
            )
            break
        cells.append(_at(cell, size))
        best = max(seen, key=lambda look: look.rate)
        if best.rate < wanted or 2 * best.call_s > LONGEST_CALL_S:
            break
        if before is not None and not memory.holds_the_next(before, best):
            break
        before, size = best, 2 * size
    return cells


def _look(
    cell: Planned, size: int, settings: RunSettings, launch: Callable[[Job], Launch]
) -> Look | str:
    """What the launch showed, or why it failed: out of memory, say."""
    found = launch(job_of(_at(cell, size), replace(settings, duration_s=LOOK_S, min_samples=3)))
    if not found.measured or found.memory is None:
        return found.error or found.refused or "parity failed"
    gpu = found.surroundings.gpu if found.surroundings else None
    return Look(
        rate=size * len(found.steady_ns) / found.window_ns,
        peak_bytes=found.memory.peak_bytes,
        call_s=found.median_ms / 1e3,
        gpu_bytes=gpu.own_bytes if gpu else None,
        others_gpu_bytes=(gpu.other_bytes or 0) if gpu else 0,
    )


def _at(cell: Planned, size: int) -> Planned:
    return replace(cell, cell=cell.cell.replaced(batch=size))
