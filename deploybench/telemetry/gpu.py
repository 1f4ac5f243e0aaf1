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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deploybench.children.family import is_of_this_family
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import Device
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
    everybody else who computes on it, without the other processes of the same run: they rest while
    this one works; ``graphics_processes`` draw on it, as a desktop does.
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


NO_FIGURES = ("missing", "provenance")
FIGURES = tuple(item.name for item in fields(GpuSample) if item.name not in NO_FIGURES)
MEMORY_FIGURES = ("own_bytes", "other_processes", "other_bytes")


def read_gpu(index: int) -> GpuSample:
    """Sample the GPU that this process knows as ``cuda:index``."""
    try:
        nvml = open_nvml()
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    try:
        handle = device_handle(nvml, index)
        return sample_gpu(nvml, handle, os.getpid(), contained=in_pid_namespace())
    except DeployBenchError as error:
        return GpuSample(missing=dict.fromkeys(FIGURES, str(error)))
    finally:
        nvml.nvmlShutdown()


@contextlib.contextmanager
def gpu_watch(device: str) -> Iterator[Callable[[], GpuSample | None]]:
    """Within it ``cuda:N`` can be sampled at once; the answer is None of what is no GPU.

    NVML stays open meanwhile: opening it takes longer than the clocks take to fall.
    """
    named = Device.parse(device)
    if not named.is_gpu:
        yield lambda: None
        return
    try:
        nvml = open_nvml()
    except DeployBenchError:
        nvml = None  # every sample says why
    try:
        yield lambda: read_gpu(named.index)
    finally:
        if nvml is not None:
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

    def power_w() -> float:
        return power_mw(nvml, handle) / MILLIWATTS_PER_W

    def throttle_reasons() -> tuple[str, ...]:
        return throttle_words(_newest(nvml, CLOCK_REASONS, handle))

    def graphics_processes() -> int:
        return len(_newest(nvml, GRAPHICS_PROCESSES, handle))

    def used_bytes() -> int:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)

    def clock_mhz(domain: int) -> int:
        return int(nvml.nvmlDeviceGetClockInfo(handle, domain))

    def temperature_c() -> int:
        return int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))

    def ecc() -> bool:
        present_and_pending = nvml.nvmlDeviceGetEccMode(handle)
        return bool(present_and_pending[0])

    # What falls as soon as the work ends is asked first.
    power = ask("power_w", power_w)
    sm_clock_mhz = ask("sm_clock_mhz", lambda: clock_mhz(nvml.NVML_CLOCK_SM))
    memory_clock_mhz = ask("memory_clock_mhz", lambda: clock_mhz(nvml.NVML_CLOCK_MEM))
    reasons = ask("throttle_reasons", throttle_reasons)
    processes = _processes(nvml, handle, pid, contained, missing)
    return GpuSample(
        own_bytes=processes.own_bytes,
        other_processes=processes.others,
        other_bytes=processes.other_bytes,
        sm_clock_mhz=sm_clock_mhz,
        memory_clock_mhz=memory_clock_mhz,
        temperature_c=ask("temperature_c", temperature_c),
        power_w=power,
        throttle_reasons=reasons,
        graphics_processes=ask("graphics_processes", graphics_processes),
        used_bytes=ask("used_bytes", used_bytes),
        pcie_generation=ask(
            "pcie_generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)
        ),
        pcie_width=ask("pcie_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        ecc=ask("ecc", ecc),
        provenance=nvml_provenance(),
        missing=missing,
    )


@contextlib.contextmanager
def core_clock(device: str) -> Iterator[Callable[[], int | None]]:
    """Within it the clock of the cores (MHz) of ``cuda:N`` can be asked for, again and again.

    NVML stays open meanwhile: opening it takes longer than a clock takes to fall. The answer is
    None where nothing tells, and of what is no GPU.
    """
    named = Device.parse(device)
    try:
        nvml = open_nvml() if named.is_gpu else None
    except DeployBenchError:
        nvml = None
    if nvml is None:
        yield lambda: None
        return
    try:
        yield _clock_asked_of(nvml, named.index)
    finally:
        nvml.nvmlShutdown()


def _clock_asked_of(nvml: Any, index: int) -> Callable[[], int | None]:
    try:
        handle = device_handle(nvml, index)
    except DeployBenchError:
        return lambda: None

    def clock_mhz() -> int | None:
        try:
            return int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        except nvml.NVMLError:
            return None

    return clock_mhz


def power_mw(nvml: Any, handle: Any) -> int:
    """The power draw in milliwatts.

    Of this moment where the driver has that field, else by the plain query. Raises NVMLError where
    the card tells neither.
    """
    with contextlib.suppress(nvml.NVMLError):
        (field_value,) = nvml.nvmlDeviceGetFieldValues(handle, [POWER_INSTANT])
        if field_value.nvmlReturn == nvml.NVML_SUCCESS:
            return int(field_value.value.uiVal)
    return int(nvml.nvmlDeviceGetPowerUsage(handle))


def throttle_words(reasons: int) -> tuple[str, ...]:
    """The reasons in NVML's bit mask, in words; none when the clock is as high as it may be."""
    words = [word for bit, word in THROTTLE_REASONS.items() if reasons & bit]
    unnamed = reasons & ~sum(THROTTLE_REASONS)  # the bits that the table has no word for
    if unnamed:
        words.append(f"unknown reason {unnamed:#x}")
    return tuple(words)


def in_pid_namespace(namespace: Path = PID_NAMESPACE) -> bool:
    """Whether this process sees other process ids than the machine's kernel, as in a container."""
    try:
        return str(namespace.readlink()) != INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _newest(nvml: Any, names: Sequence[str], handle: Any) -> Any:
    """Ask by the newest of ``names`` that both the library and the driver have.

    The newest comes first. Raises NVMLError where the card does not answer.
    """
    in_library = [name for name in names if hasattr(nvml, name)]
    for name in in_library[:-1]:
        try:
            return getattr(nvml, name)(handle)
        except nvml.NVMLError_FunctionNotFound:
            continue  # the driver is older than the library
    return getattr(nvml, in_library[-1])(handle)


@dataclass(frozen=True)
class _Processes:
    """Who computes on the GPU, this process and others, and what their memory there is."""

    own_bytes: int | None = None
    others: int | None = None
    other_bytes: int | None = None


def _processes(
    nvml: Any, handle: Any, pid: int, contained: bool, missing: dict[str, str]
) -> _Processes:
    """The figures of the processes on the GPU; the reasons for unknown ones go to ``missing``."""
    try:
        processes = _newest(nvml, COMPUTE_PROCESSES, handle)
    except nvml.NVMLError as error:
        missing.update(dict.fromkeys(MEMORY_FIGURES, f"not told by this GPU or driver: {error}"))
        return _Processes()
    own = [process for process in processes if process.pid == pid]
    others = [
        process
        for process in processes
        if process.pid != pid and not is_of_this_family(int(process.pid))
    ]
    if not own:
        reason = f"the driver lists no process {pid}"
        if contained:
            reason += ": in a container it may list the host's ids (docker: --pid=host)"
        missing.update(dict.fromkeys(MEMORY_FIGURES, reason))
        return _Processes()
    own_bytes = _used_bytes(own)
    other_bytes = _used_bytes(others)
    for figure, used_bytes in (("own_bytes", own_bytes), ("other_bytes", other_bytes)):
        if used_bytes is None:
            missing[figure] = "the driver lists the process without its memory"
    return _Processes(own_bytes, len(others), other_bytes)


def _used_bytes(processes: Sequence[Any]) -> int | None:
    """The GPU memory of these processes; None where that of one is not told.

    Whoever is listed holds a context, so 0 is as unknown as None; containers and Windows give
    either.
    """
    if not all(process.usedGpuMemory for process in processes):
        return None
    return sum(int(process.usedGpuMemory) for process in processes)
