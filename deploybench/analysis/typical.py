"""The typical launch of a cell: medians over its launches of what is not a time of a call.

Times of calls are in the summary, one estimate a state of the machine. Start-up, memory by phase,
what the machine did meanwhile and the GPU's readings do not depend on that state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deploybench.results.launch import GpuReading, Launch, MemoryPhases
from deploybench.statistics.samples import median


@dataclass(frozen=True)
class TypicalLaunch:
    """Medians over the measured launches; None where no launch has the figure.

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
    threads_ran: float | None


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
    surroundings = [launch.surroundings for launch in measured if launch.surroundings is not None]
    return TypicalLaunch(
        start_s=_median([launch.start_s for launch in measured]),
        import_s=_median([launch.import_s for launch in measured]),
        imported_bytes=_grown(memories, lambda memory: memory.imported_bytes),
        loaded_bytes=_grown(memories, lambda memory: memory.loaded_bytes),
        compiled_bytes=_grown(memories, lambda memory: memory.compiled_bytes),
        first_inference_bytes=_grown(memories, lambda memory: memory.first_inference_bytes),
        steady_peak_bytes=_grown(memories, lambda memory: memory.peak_bytes),
        steady_pss_bytes=_median([_steady_pss(memory) for memory in memories]),
        foreign_cpu_share=_median([machine.foreign_cpu_share for machine in surroundings]),
        steal_share=_median([machine.steal_share for machine in surroundings]),
        switches_per_call=_median([launch.switches_per_call for launch in measured]),
        frequency_mhz=_median([machine.frequency_mhz for machine in surroundings]),
        most_warm_up_calls=max((launch.warm_up for launch in measured), default=None),
        threads_ran=_median([launch.threads_ran for launch in measured]),
    )


def typical_gpu(launches: Sequence[Launch]) -> TypicalGpu | None:
    """The GPU of the measured launches; None for a cell that ran on none."""
    readings = _gpu_readings(launches)
    if not readings:
        return None
    missing: dict[str, str] = {}
    for reading in readings:
        missing.update(reading.missing)
    return TypicalGpu(
        sm_clock_mhz=_median([reading.sm_clock_mhz for reading in readings]),
        memory_clock_mhz=_median([reading.memory_clock_mhz for reading in readings]),
        temperature_c=_median([reading.temperature_c for reading in readings]),
        power_w=_median([reading.power_w for reading in readings]),
        throttle_reasons=_throttle_reasons(readings, missing),
        other_processes=_most([reading.other_processes for reading in readings]),
        graphics_processes=_most([reading.graphics_processes for reading in readings]),
        used_bytes=_median([reading.used_bytes for reading in readings]),
        pcie=_link(readings[-1]),
        ecc=readings[-1].ecc,
        missing=missing,
    )


def _median(values: Sequence[float | None]) -> float | None:
    """The median of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return median(known)


def _most(values: Sequence[int | None]) -> int | None:
    """The largest: one launch with somebody else on the GPU is worth knowing of."""
    known = [value for value in values if value is not None]
    return max(known, default=None)


def _grown(memories: Sequence[MemoryPhases], phase: Callable[[MemoryPhases], int]) -> float | None:
    """Resident bytes after a phase, above the baseline of the same launch."""
    return _median([phase(memory) - memory.baseline_bytes for memory in memories])


def _steady_pss(memory: MemoryPhases) -> float | None:
    """Proportional bytes in the steady state above the baseline."""
    if memory.steady_pss_bytes is None or memory.baseline_pss_bytes is None:
        return None
    return memory.steady_pss_bytes - memory.baseline_pss_bytes


def _gpu_readings(launches: Sequence[Launch]) -> list[GpuReading]:
    """What the measured launches read from their GPU; empty for a cell that ran on none."""
    readings = []
    for launch in launches:
        if not launch.measured or launch.surroundings is None:
            continue
        if launch.surroundings.gpu is not None:
            readings.append(launch.surroundings.gpu)
    return readings


def _throttle_reasons(
    readings: Sequence[GpuReading], missing: Mapping[str, str]
) -> tuple[str, ...] | None:
    """Each reason that was seen in any launch, once; None where some launch was not told them."""
    if "throttle_reasons" in missing:
        return None
    seen: list[str] = []
    for reading in readings:
        seen += reading.throttle_reasons or ()
    return tuple(dict.fromkeys(seen))


def _link(reading: GpuReading) -> str | None:
    """The PCIe link in the words of a data sheet: 3.0 x16."""
    if reading.pcie_generation is None or reading.pcie_width is None:
        return None
    return f"{reading.pcie_generation}.0 x{reading.pcie_width}"
