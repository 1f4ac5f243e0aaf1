"""The state of one GPU at one moment, as NVML tells it.

A figure that the card or the driver does not give is None, and ``missing`` says why. Clocks,
temperature and power are of this moment: read them right after the work, before the GPU falls idle.
Power is that of the moment where the driver has the field for it (525 and later); else it is what
the card's plain query gives, which since Ampere's GA10x is the average of a second. Memory is what
the driver holds for a process: its CUDA context and the caches of its allocator are part of it. The
PCIe link is as it is under load: an idle card lets it sleep. ECC costs a card with GDDR a part of
its memory and of its bandwidth.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.hardware.nvml import device_handle, nvml_provenance, open_nvml
from deploybench.provenance import Provenance

PID_NAMESPACE = Path("/proc/self/ns/pid")
INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO in Linux's include/linux/proc_ns.h
MILLIWATTS_PER_W = 1e3
POWER_INSTANT = 186  # NVML_FI_DEV_POWER_INSTANT in nvml.h

# Drivers of the 470 branch, the last for Kepler, have the processes by the second name only; those
# before 535 the reasons likewise. The processes' names without a version raise there what is no
# NVMLError.
COMPUTE_PROCESSES = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetComputeRunningProcesses_v2",
)
GRAPHICS_PROCESSES = (
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v2",
)
CLOCK_REASONS = (
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetCurrentClocksThrottleReasons",
)

# The bits of nvmlClocksEventReasons (nvml.h), which were called nvmlClocksThrottleReasons before
# driver 535. "idle" and "application clocks" are no trouble: nothing to do, and a clock that
# somebody set.
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
    """One moment of one GPU.

    ``own_bytes`` is this process's GPU memory; ``other_processes`` and ``other_bytes`` are those of
    everybody else who computes on it; ``graphics_processes`` draw on it, as a desktop does.
    ``used_bytes`` is what is taken of the whole card. ``missing`` gives the reason for each field
    that is None; ``provenance`` is simulated where a double stands in for the driver's library.
    """

    own_bytes: int | None = None
    other_processes: int | None = None
    other_bytes: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    power_w: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    graphics_processes: int | None = None
    used_bytes: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    ecc: bool | None = None
    provenance: Provenance = "measured"
    missing: Mapping[str, str] = field(default_factory=dict)


FIGURES = tuple(
    item.name for item in fields(GpuSample) if item.name not in ("missing", "provenance")
)
MEMORY_FIGURES = ("own_bytes", "other_processes", "other_bytes")


def read_gpu(index: int) -> GpuSample:
    """Sample the GPU that this process knows as ``cuda:index``."""
    try:
        nvml = open_nvml()
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    try:
        return sample_gpu(
            nvml, device_handle(nvml, index), os.getpid(), contained=in_pid_namespace()
        )
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    finally:
        nvml.nvmlShutdown()


def sample_gpu(nvml: Any, handle: Any, pid: int, *, contained: bool) -> GpuSample:
    """Sample the GPU behind ``handle`` with ``nvml``, an initialised ``pynvml``.

    ``contained`` says that this process has a process namespace of its own, as in a container: some
    drivers then list the host's ids, in which ``pid`` is not to be found although the process is on
    the GPU.
    """
    missing: dict[str, str] = {}

    def ask(figure: str, query: Callable[[], Any]) -> Any:
        try:
            return query()
        except nvml.NVMLError as error:
            missing[figure] = f"not told by this GPU or driver: {error}"
            return None

    milliwatts = ask("power_w", lambda: power_mw(nvml, handle))
    drawing = ask("graphics_processes", lambda: _newest(nvml, GRAPHICS_PROCESSES, handle))
    memory = ask("used_bytes", lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    ecc = ask("ecc", lambda: nvml.nvmlDeviceGetEccMode(handle))
    reasons = ask("throttle_reasons", lambda: _newest(nvml, CLOCK_REASONS, handle))
    return GpuSample(
        **_memory(nvml, handle, pid, contained, missing),
        sm_clock_mhz=ask(
            "sm_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)
        ),
        memory_clock_mhz=ask(
            "memory_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)
        ),
        temperature_c=ask(
            "temperature_c",
            lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        ),
        power_w=None if milliwatts is None else milliwatts / MILLIWATTS_PER_W,
        throttle_reasons=None if reasons is None else throttle_words(reasons),
        graphics_processes=None if drawing is None else len(drawing),
        used_bytes=None if memory is None else memory.used,
        pcie_generation=ask(
            "pcie_generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)
        ),
        pcie_width=ask("pcie_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        ecc=None if ecc is None else bool(ecc[0]),
        provenance=nvml_provenance(),
        missing=missing,
    )


def power_mw(nvml: Any, handle: Any) -> int:
    """The power draw in milliwatts: of this moment where the driver has that field, else by the
    plain query.

    Raises NVMLError where the card tells neither.
    """
    with contextlib.suppress(nvml.NVMLError):
        (field_value,) = nvml.nvmlDeviceGetFieldValues(handle, [POWER_INSTANT])
        if field_value.nvmlReturn == nvml.NVML_SUCCESS:
            return int(field_value.value.uiVal)
    return int(nvml.nvmlDeviceGetPowerUsage(handle))


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons in NVML's bit mask, in words; none when the clock is as high as it may be."""
    known = tuple(word for bit, word in THROTTLE_REASONS.items() if reasons & bit)
    unknown = reasons & ~sum(THROTTLE_REASONS)
    return (*known, f"unknown reason {unknown:#x}") if unknown else known


def in_pid_namespace(namespace: Path = PID_NAMESPACE) -> bool:
    """Whether this process sees other process ids than the machine's kernel does, as in a
    container."""
    try:
        return str(namespace.readlink()) != INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _newest(nvml: Any, names: Sequence[str], handle: Any) -> Any:
    """Ask by the first of ``names``, the newest first, that both the library and the driver
    have."""
    *newer, oldest = [name for name in names if hasattr(nvml, name)]
    for name in newer:
        with contextlib.suppress(
            nvml.NVMLError_FunctionNotFound
        ):  # the driver is older than the library
            return getattr(nvml, name)(handle)
    return getattr(nvml, oldest)(handle)


def _memory(
    nvml: Any, handle: Any, pid: int, contained: bool, missing: dict[str, str]
) -> dict[str, int | None]:
    """The figures of the processes on the GPU; the reasons for those that are not known go to
    ``missing``."""
    try:
        processes = _newest(nvml, COMPUTE_PROCESSES, handle)
    except nvml.NVMLError as error:
        missing.update(dict.fromkeys(MEMORY_FIGURES, f"not told by this GPU or driver: {error}"))
        return {}
    if all(process.pid != pid for process in processes):
        hint = (
            ": in a container it may list the host's ids (docker: --pid=host)" if contained else ""
        )
        reason = f"the driver lists no process {pid}{hint}"
        missing.update(dict.fromkeys(MEMORY_FIGURES, reason))
        return {}
    others = [process for process in processes if process.pid != pid]
    found: dict[str, int | None] = {"other_processes": len(others)}
    for figure, group in (
        ("own_bytes", [one for one in processes if one.pid == pid]),
        ("other_bytes", others),
    ):
        # Whoever is listed holds a context, so 0 is as unknown as None; containers and Windows give
        # either.
        if all(process.usedGpuMemory for process in group):
            found[figure] = sum(process.usedGpuMemory for process in group)
        else:
            missing[figure] = "the driver lists the process without its memory"
    return found
