"""A profile of the machine at hand, filled in: what ``deploybench profiles new`` writes.

A CPU's peaks are those that :mod:`deploybench.telemetry.peaks` measured. A GPU's are those of the
built-in profile that fits it, or what its driver tells: cores x 2 FLOP x the highest clock, and
twice the memory clock x the bus width. What neither tells (tensor cores) has no peak in the file,
and the command that prints bounds says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container

from deploybench.errors import DeployBenchError
from deploybench.files import slug
from deploybench.hardware.devices import Device, read_device
from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host, gpu_of
from deploybench.hardware.nvml import named_handle, open_nvml
from deploybench.hardware.precisions import PRECISIONS, cpu_lacking, gpu_lacking
from deploybench.hardware.profile import HOST, Match, Peaks, Profile, profile_names, profile_of
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.plurals import counted

OF_ANY_HOST = frozenset({"deploybench", "numpy", "mlcommons-loadgen"})
"""Distributions of the harness itself: they are no part of what hardware needs."""
SPECIAL = re.compile(r"([.^$*+?{}\[\]\\|()])")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PeakMeasurement = Callable[[Host, int], MeasuredPeaks | None]
"""From a host and a number of threads; None where the measurement failed."""
DATA_PER_CLOCK = 2
"""Transfers of GDDR and HBM in one cycle of the clock that NVML tells."""


def check_name(name: str) -> str:
    """The name, if a new profile may have it."""
    if NAME.fullmatch(name) is None:
        raise DeployBenchError(
            f"the profile name '{name}'", expected="letters, digits, dots, dashes and underscores"
        )
    if name in (HOST, *profile_names()):
        raise DeployBenchError(
            f"there is a profile {name} already", expected="a name of its own for this machine"
        )
    return name


def new_profile(name: str | None, device: str, host: Host, *, measure: PeakMeasurement) -> Profile:
    """A profile of the ``device`` (``cpu``, ``cuda``, ``cuda:N``) of this host.

    Without a name it is named after the device. ``measure`` finds the peaks of a CPU: this module
    does not know how to measure. Raises DeployBenchError where there is no such device, or where
    nothing tells its peaks.
    """
    if name is not None:
        check_name(name)
    named = Device.parse(read_device(device))
    if not named.is_gpu:
        return _of_cpu(name, host, measure(host, host.usable_cores))
    gpu = gpu_of(device, host)
    if gpu is None:
        cause = host.gpu_note or f"it has {counted(len(host.gpus), 'GPU')}"
        raise DeployBenchError(
            f"there is no {device} on this host: {cause}",
            action="deploybench doctor says more; --device cpu describes the CPU",
        )
    return _of_gpu(name, gpu, host)


def _of_cpu(name: str | None, host: Host, measured: MeasuredPeaks | None) -> Profile:
    if measured is None:
        raise DeployBenchError(
            "the peaks of this CPU could not be measured", action="try again on a quiet machine"
        )
    if measured.disturbed:
        raise DeployBenchError(
            f"the peaks of this CPU are too low: {measured.disturbed} while they were measured",
            expected="a quiet machine",
            action="stop the other work and try again",
        )
    method = f"measured on {host.hostname} by deploybench profiles new: {measured.method}"
    sources = {f"tflops.{precision}": method for precision in measured.gflops}
    sources["memory_gb_per_s"] = method
    sources["memory_gb"] = f"read on {host.hostname}: the whole memory of the machine"
    if host.cache_bytes:
        sources["cache_mb"] = (
            f"read on {host.hostname}: second- and third-level caches of "
            f"{counted(host.usable_cores, 'core')}"
        )
    lacking = cpu_lacking(host.isa)
    return Profile(
        name=name or _name_after(host.cpu_model),
        title=f"{host.cpu_model}, {counted(host.usable_cores, 'core')}",
        device="cpu",
        match=Match(cpu_vendor=_exactly(host.cpu_vendor), cpu_model=_exactly(host.cpu_model)),
        peaks=_cpu_peaks(host, measured),
        precisions=_all_but(lacking),
        lacking=lacking,
        stack=_stack(host),
        sources=sources | _stack_sources(host),
        notes=(
            f"The peaks are what this machine reached with {counted(measured.threads, 'thread')}, "
            f"not a data sheet's.",
        ),
    )


def _cpu_peaks(host: Host, measured: MeasuredPeaks) -> Peaks:
    return Peaks(
        tflops={precision: gflops / 1e3 for precision, gflops in measured.gflops.items()},
        memory_gb_per_s=measured.memory_gb_per_s,
        memory_gb=round(host.memory_bytes / 1e9, 1),
        cache_mb=round((host.cache_bytes or 0) / 1e6, 1),
    )


def _of_gpu(name: str | None, gpu: Gpu, host: Host) -> Profile:
    """Of a GPU with a built-in profile, what that states; of another, what its driver tells."""
    built_in = profile_of(gpu)
    match = Match(gpu_name=_exactly(gpu.name), compute_capability=gpu.compute_capability)
    stack = _stack(host) | {"driver": gpu.driver}
    if built_in is None:
        peaks, sources = _told_by_driver(gpu, host)
        lacking = gpu_lacking(gpu)
        return Profile(
            name=name or _name_after(gpu.name),
            title=gpu.name,
            device="cuda",
            match=match,
            peaks=peaks,
            precisions=_all_but(lacking),
            lacking=lacking,
            stack=stack,
            sources=sources | _stack_sources(host),
        )

    # The stack is this host's, so what the built-in profile says of its own does not count here.
    sources = {}
    for figure, source in built_in.sources.items():
        if not figure.startswith("stack."):
            sources[figure] = f"profile {built_in.name}: {source}"
    unconfirmed = tuple(figure for figure in built_in.unconfirmed if figure in sources)
    return Profile(
        name=name or _name_after(gpu.name),
        title=gpu.name,
        device="cuda",
        match=match,
        peaks=built_in.peaks,
        precisions=built_in.precisions,
        lacking=built_in.lacking,
        lacking_runners=built_in.lacking_runners,
        driver=built_in.driver,
        onnx=built_in.onnx,
        stack=stack,
        sources=sources | _stack_sources(host),
        unconfirmed=unconfirmed,
    )


def _all_but(lacking: Container[str]) -> tuple[str, ...]:
    return tuple(precision for precision in PRECISIONS if precision not in lacking)


def _told_by_driver(gpu: Gpu, host: Host) -> tuple[Peaks, dict[str, str]]:
    """The peaks that the driver's figures give.

    Raises DeployBenchError where it does not tell them.
    """
    nvml = open_nvml()
    try:
        handle = named_handle(nvml, str(gpu.index))
        cores = int(nvml.nvmlDeviceGetNumGpuCores(handle))
        clock_mhz = int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM))
        memory_mhz = int(nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM))
        bus_bits = int(nvml.nvmlDeviceGetMemoryBusWidth(handle))
    except nvml.NVMLError as error:
        raise DeployBenchError(
            f"the driver {gpu.driver} does not tell the cores and the memory bus of {gpu.name}: "
            f"{error}",
            expected="driver 510 or newer, or a GPU with a built-in profile",
            action="copy profiles/k80.toml and fill in the figures of the data sheet",
        ) from None
    finally:
        nvml.nvmlShutdown()
    # A core finishes one multiply-add, 2 FLOP, a cycle; 1e6 MHz x FLOP are a TFLOP/s.
    teraflops = cores * 2 * clock_mhz / 1e6
    # Bits to bytes, and MB/s to GB/s.
    gigabytes_per_s = DATA_PER_CLOCK * memory_mhz * bus_bits / 8 / 1e3
    by = f"told by the driver of {host.hostname} to deploybench profiles new"
    sources = {
        "tflops.fp32": f"{cores} cores x 2 FLOP x {clock_mhz} MHz, the highest clock; {by}",
        "memory_gb_per_s": f"{bus_bits} bit x {DATA_PER_CLOCK} x {memory_mhz} MHz; {by}",
        "memory_gb": by,
    }
    peaks = Peaks(
        tflops={"fp32": round(teraflops, 2)},
        memory_gb_per_s=round(gigabytes_per_s, 1),
        memory_gb=round(gpu.memory_bytes / 1e9, 1),
    )
    return peaks, sources


def _stack(host: Host) -> dict[str, str]:
    """The versions that the hardware's numbers depend on."""
    stack = {"python": host.python}
    for name, version in host.versions.items():
        if name not in OF_ANY_HOST:
            stack[name] = version
    return stack


def _stack_sources(host: Host) -> dict[str, str]:
    return {f"stack.{name}": f"installed on {host.hostname}" for name in _stack(host)}


def _exactly(text: str) -> str:
    """A pattern for this text and no other."""
    escaped = SPECIAL.sub(r"\\\1", text)
    return f"^{escaped}$"


def _name_after(hardware: str) -> str:
    """A short name: ``Intel(R) Xeon(R) Gold 6338 CPU @ 2.00GHz`` is intel-xeon-gold-6338."""
    plain = re.sub(
        r"\(.*?\)|@.*|\bCPU\b|\bNVIDIA\b|\bGeForce\b|\d+-Core|\bProcessor\b", " ", hardware
    )
    name = slug(" ".join(plain.split()).lower())
    if name in profile_names():
        return f"my-{name}"
    return name
