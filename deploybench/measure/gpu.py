"""The state of one GPU at one moment, as NVML tells it.

A figure that the card or the driver does not give is None, and ``missing`` says why. Clocks, temperature and power
are of this moment (power is an average over up to a second on some cards): read them right after the work, before
the GPU falls idle. Memory is what the driver holds for a process: its CUDA context and the caches of its allocator
are part of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.measure.nvml import device_handle, open_nvml

PID_NAMESPACE = Path("/proc/self/ns/pid")
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO in Linux's include/linux/proc_ns.h
MILLIWATTS_PER_W = 1e3

# Drivers of the 470 branch, the last for Kepler, have the processes by the second name only; those before 535 the
# reasons likewise.
COMPUTE_PROCESSES = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetComputeRunningProcesses_v2")
CLOCK_REASONS = ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons")

# The bits of nvmlClocksEventReasons (nvml.h), which were called nvmlClocksThrottleReasons before driver 535.
# "idle" and "application clocks" are no trouble: nothing to do, and a clock that somebody set.
THROTTLE_REASONS = {
    0x001: "idle",
    0x002: "application clocks",
    0x004: "software power cap",
    0x008: "hardware slowdown",
    0x010: "sync boost",
    0x020: "software thermal slowdown",
    0x040: "hardware thermal slowdown",
    0x080: "hardware power brake",
    0x100: "display clocks",
    0x200: "board limit",
    0x400: "reliability limit",
}


@dataclass(frozen=True)
class GpuSample:
    """One moment of one GPU. ``own_bytes`` is this process's GPU memory; ``other_processes`` and ``other_bytes`` are
    those of everybody else who computes on it. ``missing`` gives the reason for each field that is None."""

    own_bytes: int | None = None
    other_processes: int | None = None
    other_bytes: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)


FIGURES = tuple(item.name for item in fields(GpuSample) if item.name != "missing")
MEMORY_FIGURES = ("own_bytes", "other_processes", "other_bytes")


def read_gpu(index: int) -> GpuSample:
    """Sample the GPU that this process knows as ``cuda:index``."""
    try:
        nvml = open_nvml()
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    try:
        return sample_gpu(nvml, device_handle(nvml, index), os.getpid(), contained=in_pid_namespace())
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    finally:
        nvml.nvmlShutdown()


def sample_gpu(nvml: Any, handle: Any, pid: int, *, contained: bool) -> GpuSample:
    """Sample the GPU behind ``handle`` with ``nvml``, an initialised ``pynvml``.

    ``contained`` says that this process has a process namespace of its own, as in a container: some drivers then
    list the host's ids, in which ``pid`` is not to be found although the process is on the GPU.
    """
    missing: dict[str, str] = {}

    def ask(figure: str, query: Callable[[], Any]) -> Any:
        try:
            return query()
        except nvml.NVMLError as error:
            missing[figure] = f"not told by this GPU or driver: {error}"
            return None

    milliwatts = ask("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(handle))
    reasons = ask("throttle_reasons", lambda: _newest(nvml, CLOCK_REASONS, handle))
    return GpuSample(
        **_memory(nvml, handle, pid, contained, missing),
        sm_clock_mhz=ask("sm_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock_mhz=ask("memory_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature_c=ask("temperature_c", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        power_w=None if milliwatts is None else milliwatts / MILLIWATTS_PER_W,
        throttle_reasons=None if reasons is None else throttle_words(reasons),
        missing=missing,
    )


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons in NVML's bit mask, in words; none when the clock is as high as it may be."""
    known = tuple(word for bit, word in THROTTLE_REASONS.items() if reasons & bit)
    unknown = reasons & ~sum(THROTTLE_REASONS)
    return (*known, f"unknown reason {unknown:#x}") if unknown else known


def in_pid_namespace(namespace: Path = PID_NAMESPACE) -> bool:
    """Whether this process sees other process ids than the machine's kernel does, as in a container."""
    try:
        return str(namespace.readlink()) != INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _newest(nvml: Any, names: Sequence[str], handle: Any) -> Any:
    """Ask by the first of ``names``, the newest first, that both the library and the driver have."""
    *newer, oldest = [name for name in names if hasattr(nvml, name)]
    for name in newer:
        with contextlib.suppress(nvml.NVMLError_FunctionNotFound):  # the driver is older than the library
            return getattr(nvml, name)(handle)
    return getattr(nvml, oldest)(handle)


def _memory(nvml: Any, handle: Any, pid: int, contained: bool, missing: dict[str, str]) -> dict[str, int | None]:
    """The figures of the processes on the GPU; the reasons for those that are not known go to ``missing``."""
    try:
        processes = _newest(nvml, COMPUTE_PROCESSES, handle)
    except nvml.NVMLError as error:
        missing.update(dict.fromkeys(MEMORY_FIGURES, f"not told by this GPU or driver: {error}"))
        return {}
    if contained and all(process.pid != pid for process in processes):
        reason = f"the driver lists no process {pid}: in a container it may list the host's ids (docker: --pid=host)"
        missing.update(dict.fromkeys(MEMORY_FIGURES, reason))
        return {}
    others = [process for process in processes if process.pid != pid]
    found: dict[str, int | None] = {"other_processes": len(others)}
    for figure, group in (("own_bytes", [one for one in processes if one.pid == pid]), ("other_bytes", others)):
        # Whoever is listed holds a context, so 0 is as unknown as None; containers and Windows give either.
        if all(process.usedGpuMemory for process in group):
            found[figure] = sum(process.usedGpuMemory for process in group)
        else:
            missing[figure] = "the driver lists the process without its memory"
    return found
