"""The typical launch of a cell: medians over its launches of what is not a time of a call.

Times of calls are in the summary, one estimate a state of the machine. Start-up, memory by phase,
what the machine did meanwhile and the GPU's readings do not depend on that state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploybench.results.launch import GpuReading, Launch, MemoryPhases, Surroundings
from deploybench.statistics.samples import median


@dataclass(frozen=True)
class TypicalLaunch:
    """Medians over the measured launches; None where no launch told the figure.

    ``*_bytes`` are resident bytes above the worker's baseline after each phase;
    ``steady_pss_bytes`` are proportional ones. Shares are of wall time x CPUs.
    ``most_warm_up_calls`` is the largest, not the median.
    """

    start_s: float | None
    import_s: float | None
    imported_bytes: float | None
    loaded_bytes: float | None
    compiled_bytes: float | None
    first_inference_bytes: float | None
    steady_peak_bytes: float | None
    steady_pss_bytes: float | None
    foreign_cpu_share: float | None
    steal_share: float | None
    switches_per_call: float | None
    frequency_mhz: float | None
    most_warm_up_calls: int | None


@dataclass(frozen=True)
class TypicalGpu:
    """Medians of the GPU right after the calls, and everything that was ever seen in one launch.

    ``throttle_reasons`` is None where the driver did not tell them in some launch; the counts of
    other processes are the largest; ``missing`` maps a figure to why the driver did not tell it.
    """

    sm_clock_mhz: float | None
    memory_clock_mhz: float | None
    temperature_c: float | None
    power_w: float | None
    throttle_reasons: tuple[str, ...] | None
    other_processes: int | None
    graphics_processes: int | None
    used_bytes: float | None
    pcie: str | None
    ecc: bool | None
    missing: dict[str, str]


def typical_launch(launches: Sequence[Launch]) -> TypicalLaunch:
    """The medians over ``launches``, of which those count that were measured."""
    measured = [launch for launch in launches if launch.measured]
    memories = [launch.memory for launch in measured if launch.memory is not None]
    around = [launch.surroundings for launch in measured if launch.surroundings is not None]
    return TypicalLaunch(
        start_s=_median([launch.start_s for launch in measured]),
        import_s=_median([launch.import_s for launch in measured]),
        imported_bytes=_grown(memories, lambda memory: memory.imported_bytes),
        loaded_bytes=_grown(memories, lambda memory: memory.loaded_bytes),
        compiled_bytes=_grown(memories, lambda memory: memory.compiled_bytes),
        first_inference_bytes=_grown(memories, lambda memory: memory.first_inference_bytes),
        steady_peak_bytes=_grown(memories, lambda memory: memory.peak_bytes),
        steady_pss_bytes=_median([_steady_pss(memory) for memory in memories]),
        foreign_cpu_share=_median([item.foreign_cpu_share for item in around]),
        steal_share=_median([item.steal_share for item in around]),
        switches_per_call=_median([_switches_per_call(launch) for launch in measured]),
        frequency_mhz=_median([item.frequency_mhz for item in around]),
        most_warm_up_calls=max((launch.warm_up for launch in measured), default=None),
    )


def typical_gpu(launches: Sequence[Launch]) -> TypicalGpu | None:
    """The GPU of the measured launches; None for a cell that ran on none."""
    readings = [
        gpu
        for launch in launches
        if launch.measured and (gpu := _gpu_of(launch.surroundings)) is not None
    ]
    if not readings:
        return None
    missing = {figure: why for reading in readings for figure, why in reading.missing.items()}
    seen = [reason for reading in readings for reason in reading.throttle_reasons or ()]
    reasons = None if "throttle_reasons" in missing else tuple(dict.fromkeys(seen))
    return TypicalGpu(
        sm_clock_mhz=_median([reading.sm_clock_mhz for reading in readings]),
        memory_clock_mhz=_median([reading.memory_clock_mhz for reading in readings]),
        temperature_c=_median([reading.temperature_c for reading in readings]),
        power_w=_median([reading.power_w for reading in readings]),
        throttle_reasons=reasons,
        other_processes=_most([reading.other_processes for reading in readings]),
        graphics_processes=_most([reading.graphics_processes for reading in readings]),
        used_bytes=_median([reading.used_bytes for reading in readings]),
        pcie=_link(readings[-1]),
        ecc=readings[-1].ecc,
        missing=missing,
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _most(values: Sequence[int | None]) -> int | None:
    """The largest: one launch with somebody else on the GPU is worth to be seen."""
    return max((value for value in values if value is not None), default=None)


def _grown(memories: Sequence[MemoryPhases], phase: Callable[[MemoryPhases], int]) -> float | None:
    """Resident bytes after a phase, above the baseline of the same launch."""
    return _median([phase(memory) - memory.baseline_bytes for memory in memories])


def _steady_pss(memory: MemoryPhases) -> float | None:
    """Proportional bytes in the steady state above the baseline."""
    if memory.steady_pss_bytes is None or memory.baseline_pss_bytes is None:
        return None
    return memory.steady_pss_bytes - memory.baseline_pss_bytes


def _switches_per_call(launch: Launch) -> float | None:
    """How often a call was interrupted, on average."""
    if not launch.sample_switches:
        return None
    return sum(launch.sample_switches) / len(launch.sample_switches)


def _gpu_of(around: Surroundings | None) -> GpuReading | None:
    return around.gpu if around else None


def _link(reading: GpuReading) -> str | None:
    """The PCIe link in the words of a data sheet: 3.0 x16."""
    if reading.pcie_generation is None or reading.pcie_width is None:
        return None
    return f"{reading.pcie_generation}.0 x{reading.pcie_width}"
