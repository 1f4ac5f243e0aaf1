"""A measured peak is no lower than what the cells of the same run reached.

The peaks of a CPU are what fixed work reached on it (:mod:`deploybench.telemetry.peaks`), and a
cell may reach more: it met a quieter moment, its library is the better one, or its convolutions
need fewer multiplications than are counted (Winograd's). What was reached can be reached. So the
peak is that at least, and with it rise the peaks that all cells of the run refer to: no share of a
peak is over 1, and no time below its bound.

Only times that are VALID raise a peak. What a profile *states* is raised by nothing: a time that
contradicts it says that it is wrong
(:func:`deploybench.analysis.findings.contradicted_roofs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.hardware.devices import CPU, kind_of
from deploybench.results.record import Bound

PeakKey = tuple[str, str, str]
"""The name of a run, the device, and the precision that products are computed in."""


@dataclass(frozen=True)
class CellUnderRoof:
    """A cell in one state of the machine, with the peak and the bound of its record.

    ``gflops`` and ``p50_ms`` are what it reached, where that can be relied on.
    """

    run: str
    device: str
    precision: str
    peak_gflops: float | None
    bound: Bound | None
    gflops: float | None = None
    p50_ms: float | None = None

    @property
    def key(self) -> PeakKey:
        """The cells of one key have one peak."""
        return self.run, self.device, self.precision

    @property
    def measured(self) -> bool:
        """Whether its roof is what was measured here: that of every CPU, and of nothing else."""
        return kind_of(self.device) == CPU


@dataclass(frozen=True)
class RaisedRoof:
    """The peak and the bound that count, and whether a cell raised the peak."""

    peak_gflops: float | None
    bound: Bound | None
    raised: bool = False


def raised_roofs(cells: Sequence[CellUnderRoof]) -> list[RaisedRoof]:
    """The roof of each of the cells, in their order."""
    most_gflops: dict[PeakKey, float] = {}
    most_times_memory: dict[tuple[str, str], float] = {}
    for cell in cells:
        if not cell.measured:
            continue
        most_gflops[cell.key] = max(most_gflops.get(cell.key, 0.0), _gflops_of(cell))
        roof = (cell.run, cell.device)
        most_times_memory[roof] = max(most_times_memory.get(roof, 1.0), _times_memory(cell))
    roofs = []
    for cell in cells:
        gflops = most_gflops.get(cell.key, 0.0)
        times_memory = most_times_memory.get((cell.run, cell.device), 1.0)
        roofs.append(_roof_of(cell, gflops, times_memory))
    return roofs


def _gflops_of(cell: CellUnderRoof) -> float:
    """The most that the cell reached: over wall time, or by its median call; 0 if not known."""
    reached = cell.gflops or 0.0
    if cell.p50_ms and cell.bound is not None:
        reached = max(reached, cell.bound.flops / (cell.p50_ms * 1e6))  # FLOP a ms are 1e-6 GFLOP/s
    return reached


def _times_memory(cell: CellUnderRoof) -> float:
    """How many times faster than the measured bandwidth the cell moved what it had to; 1 if not."""
    if not cell.p50_ms or cell.bound is None:
        return 1.0
    return max(cell.bound.memory_ms / cell.p50_ms, 1.0)


def _roof_of(cell: CellUnderRoof, gflops: float, times_memory: float) -> RaisedRoof:
    times_peak = 1.0
    if cell.peak_gflops:
        times_peak = max(gflops / cell.peak_gflops, 1.0)
    if times_peak == times_memory == 1.0:
        return RaisedRoof(cell.peak_gflops, cell.bound)
    peak_gflops = cell.peak_gflops
    if peak_gflops is not None:
        peak_gflops *= times_peak
    bound = cell.bound
    if bound is not None:
        bound = _under(bound, times_peak, times_memory)
    return RaisedRoof(peak_gflops, bound, raised=True)


def _under(bound: Bound, times_peak: float, times_memory: float) -> Bound:
    """The bound under a roof that is so many times higher."""
    compute_ms = bound.compute_ms / times_peak
    memory_ms = bound.memory_ms / times_memory
    unfused_ms = bound.unfused_ms
    if unfused_ms is not None and unfused_ms > bound.compute_ms:
        # Memory limits it: that is the time of moving what every layer reads and writes.
        unfused_ms = max(unfused_ms / times_memory, compute_ms)
    elif unfused_ms is not None:
        # Arithmetic limits it, and how long the moving takes is not told: both at their least.
        unfused_ms = max(compute_ms, memory_ms)
    return bound.replaced(compute_ms=compute_ms, memory_ms=memory_ms, unfused_ms=unfused_ms)
