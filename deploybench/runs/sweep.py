"""How far a sweep over batch sizes goes: 1, 2, 4, … until it stops paying or memory runs short.

This looks ahead with one short launch a size; the sizes that it settles on are then measured like
every other cell, in rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host, describe_host, gpu_of
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.runs.run import job_of
from deploybench.runs.settings import RunSettings
from deploybench.statistics.saturation import SMALLEST_GAIN
from deploybench.telemetry.free_memory import available_bytes

LOOK_S = 0.3
LARGEST_BATCH = 1024
LONGEST_CALL_S = 5.0
MEMORY_SHARE = 0.8
"""Of what is available now, on the machine and to this process's cgroup: the next size is not tried
when it would need more."""


def with_auto_batches(
    planned: Sequence[Planned],
    settings: RunSettings,
    *,
    start: Callable[[Planned], None] = lambda planned: None,
    launch: Callable[[Job], Launch] = run_job,
    available_bytes: Callable[[], int] = available_bytes,
    host: Callable[[], Host] = describe_host,
) -> list[Planned]:
    """Each cell once for every batch size of its sweep; ``planned`` has batch size 1.

    The last size is the first that gained less than 5 %, so that the table shows where it
    saturates. A sweep that ends because a launch failed has that size too, as a skipped cell with
    the cause. Cells that are skipped already stay as they are.
    """
    widened = []
    for cell in planned:
        if cell.skip is not None:
            widened.append(cell)
            continue
        start(cell)
        memory = Memory(available_bytes, gpu_of(cell.cell.device, host()))
        widened += _sweep(cell, settings, launch, memory)
    return widened


def doublings(limit: int) -> list[int]:
    """1, 2, 4, … up to ``limit``, and ``limit`` itself."""
    powers = [1 << power for power in range(limit.bit_length())]
    return list(dict.fromkeys([*powers, limit]))


@dataclass(frozen=True)
class Memory:
    """What is left for a larger batch: of the machine, and of the cell's GPU if it runs on one."""

    available_bytes: Callable[[], int]
    gpu: Gpu | None

    def holds_the_next(self, before: Look, after: Look) -> bool:
        """Whether the next size still fits, on the host and on the GPU.

        The batch doubles, so the next step grows by twice as much as ``after`` did over ``before``.
        Where the driver does not tell the bytes on a GPU, nothing is foreseen there: the sweep
        then ends with the launch that fails.
        """
        growth = after.peak_bytes - before.peak_bytes
        if 2 * growth > MEMORY_SHARE * self.available_bytes():
            return False
        if self.gpu is None or after.gpu_bytes is None or before.gpu_bytes is None:
            return True
        gpu_growth = after.gpu_bytes - before.gpu_bytes
        gpu_left = self.gpu.memory_bytes - after.gpu_bytes - after.others_gpu_bytes
        return 2 * gpu_growth <= MEMORY_SHARE * gpu_left


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
    """The cell at every batch size that is worth a measurement, the last one included."""
    cells: list[Planned] = []
    before: Look | None = None
    size = 1
    while size <= LARGEST_BATCH:
        at_size = _at(cell, size)
        enough = 0.0
        if before is not None:
            enough = before.rate * (1 + SMALLEST_GAIN)

        look = _best_look(at_size, enough, settings, launch)
        if isinstance(look, str):
            if size > 1:
                at_size = replace(at_size, skip=f"the sweep ends: {look}")
            # A cell that fails at its first size is no matter of the sweep: it is measured, and
            # fails in the table with its cause.
            cells.append(at_size)
            break
        cells.append(at_size)

        saturated = look.rate < enough
        next_is_too_slow = 2 * look.call_s > LONGEST_CALL_S
        if saturated or next_is_too_slow:
            break
        if before is not None and not memory.holds_the_next(before, look):
            break
        before = look
        size *= 2
    return cells


def _best_look(
    cell: Planned, enough: float, settings: RunSettings, launch: Callable[[Job], Launch]
) -> Look | str:
    """What the cell can do, or why it failed.

    A look that is slower than ``enough`` may have met a disturbance, so the cell gets a second one.
    """
    first = _look(cell, settings, launch)
    if isinstance(first, str) or first.rate >= enough:
        return first
    second = _look(cell, settings, launch)
    if isinstance(second, str) or second.rate > first.rate:
        return second
    return first


def _look(cell: Planned, settings: RunSettings, launch: Callable[[Job], Launch]) -> Look | str:
    """What one short launch showed, or why it failed: out of memory, say."""
    short = replace(settings, duration_s=LOOK_S, min_samples=3)
    launched = launch(job_of(cell, short))
    if not launched.measured or launched.memory is None:
        return launched.error or launched.refused or "parity failed"
    gpu_bytes = None
    others_gpu_bytes = 0
    gpu = launched.surroundings.gpu if launched.surroundings else None
    if gpu is not None:
        gpu_bytes = gpu.own_bytes
        others_gpu_bytes = gpu.other_bytes or 0
        if gpu.used_bytes is not None and gpu.own_bytes is not None:
            others_gpu_bytes = max(gpu.used_bytes - gpu.own_bytes, 0)  # of the run's own, too
    return Look(
        rate=cell.cell.batch * launched.steady_count / launched.window_ns,
        peak_bytes=launched.memory.peak_bytes,
        call_s=launched.median_ms / 1e3,
        gpu_bytes=gpu_bytes,
        others_gpu_bytes=others_gpu_bytes,
    )


def _at(cell: Planned, size: int) -> Planned:
    return replace(cell, cell=cell.cell.replaced(batch=size))
