"""What machine this is: the host record that every measurement carries."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from deploybench.children.environment import cleared_of, kept_of
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CUDA, Device
from deploybench.hardware.gpus import Gpu, find_gpus
from deploybench.hardware.quotas import ROOT, affinity, cores_of, cpu_quota, whole_cpus
from deploybench.versions import installed_versions

ISA_FLAGS = (
    "sse4_2",
    "avx",
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
    "fphp",
    "asimd",
    "sve",
    "bf16",
    "i8mm",
)
CORE_DISTRIBUTIONS = ("deploybench", "numpy", "torch", "torchvision", "timm", "mlcommons-loadgen")
"""What the program itself computes with: the harness, models and scenarios."""
CXX_COMPILERS = ("g++", "clang++")
CPU_FOLDER = Path("/sys/devices/system/cpu")
SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "": 1}
OUTER_CACHE = 2
"""The lowest cache level whose size is counted: what is in the first is in the others, too."""


class Host(Document):
    """A machine. ``usable_cores`` is what this process may use: see :func:`usable_cores`.

    ``environment_kept`` are the user's variables that reach the runtimes, ``environment_cleared``
    those that do not (``environment.py``); None in records that are older than these fields.
    ``affinity_cpus`` are the CPUs (hardware threads) of its affinity mask, ``affinity_cores`` the
    cores that they belong to, ``cpu_quota`` the CPUs' worth of time that its cgroups allow.
    ``gpus`` are in the order of CUDA's numbers: ``cuda:0`` first. ``gpu_note`` says why there are
    none. ``cache_bytes`` are the second- and third-level caches of the usable CPUs.
    """

    hostname: str
    cpu_model: str
    cpu_vendor: str
    isa: tuple[str, ...]
    physical_cores: int
    logical_cores: int
    usable_cores: int
    memory_bytes: int
    virtual_machine: bool
    governor: str | None
    os: str
    kernel: str
    python: str
    gpus: tuple[Gpu, ...]
    gpu_note: str | None
    versions: dict[str, str]
    load_1m: float
    cache_bytes: int | None = None
    affinity_cpus: int | None = None
    affinity_cores: int | None = None
    cpu_quota: float | None = None
    cpu_quota_source: str | None = None
    environment_kept: dict[str, str] | None = None
    environment_cleared: dict[str, str] | None = None


@cache
def describe_host(distributions: tuple[str, ...] = ()) -> Host:
    """Read this machine once.

    ``distributions`` are those whose versions are recorded beside the program's own: the plug-ins'
    (:func:`deploybench.contracts.registry.recorded_distributions`).
    """
    cpu = _cpu_info()
    flags = set(cpu.get("flags", []))
    gpus, gpu_note = find_gpus()
    cpus = affinity()
    quota = cpu_quota()
    return Host(
        hostname=platform.node(),
        cpu_model=cpu.get("brand_raw") or platform.processor() or "unknown",
        cpu_vendor=cpu.get("vendor_id_raw") or "unknown",
        isa=tuple(flag for flag in ISA_FLAGS if flag in flags),
        physical_cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        logical_cores=psutil.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        virtual_machine="hypervisor" in flags,
        governor=_governor(),
        os=_os_name(),
        kernel=platform.release(),
        python=platform.python_version(),
        gpus=gpus,
        gpu_note=gpu_note,
        versions=installed_versions((*CORE_DISTRIBUTIONS, *distributions)),
        load_1m=load_1m(),
        cache_bytes=cache_bytes(),
        affinity_cpus=len(cpus),
        affinity_cores=cores_of(cpus),
        cpu_quota=None if quota is None else quota.cpus,
        cpu_quota_source=None if quota is None else quota.source,
        environment_kept=kept_of(os.environ),
        environment_cleared=cleared_of(os.environ),
    )


def usable_cores(root: Path = ROOT, cpus: frozenset[int] | None = None) -> int:
    """The cores that a cell may use unless it is told otherwise.

    As many as the CPUs belong to, by default those of this process's affinity mask: a second
    hardware thread of a core adds no core. At most the whole CPUs of the tightest cgroup quota, and
    at least one.
    """
    if cpus is None:
        cpus = affinity()
    cores = cores_of(cpus, root)
    if cores is None:
        physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
        cores = min(physical, len(cpus))
    allowed = whole_cpus(cpu_quota(root))
    if allowed is None:
        return cores
    return min(cores, allowed)


def load_1m() -> float:
    """The one-minute load average, in runnable processes."""
    return round(float(psutil.getloadavg()[0]), 2)


def missing_cxx_compiler() -> str | None:
    """Why nothing can be compiled to native code here, or None."""
    if any(shutil.which(compiler) for compiler in CXX_COMPILERS):
        return None
    return f"needs a C++ compiler ({' or '.join(CXX_COMPILERS)}): apt-get install g++"


def missing_python_headers(folder: Path | None = None) -> str | None:
    """Why nothing that Python itself loads can be compiled here, or None: Triton and TorchInductor
    compile their way into Python against its headers.

    ``folder`` is where this interpreter says that they are.
    """
    if folder is None:
        folder = Path(str(sysconfig.get_config_var("INCLUDEPY")))
    if (folder / "Python.h").is_file():
        return None
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"needs Python's headers ({folder / 'Python.h'}): apt-get install python{version}-dev"


def cache_bytes(folder: Path = CPU_FOLDER) -> int | None:
    """The size of all caches from the second level on that the usable CPUs have.

    None where they are not told.
    """
    if not hasattr(os, "sched_getaffinity"):
        return None
    sizes: dict[tuple[str, str], int] = {}
    for cpu in os.sched_getaffinity(0):
        for cache_folder in folder.glob(f"cpu{cpu}/cache/index*"):
            level = _read(cache_folder / "level")
            size = re.fullmatch(r"(\d+)([KM]?)", _read(cache_folder / "size"))
            if size is None or not level.isdigit() or int(level) < OUTER_CACHE:
                continue
            # Every CPU that shares a cache lists it; by its level and its sharers it counts once.
            shared = _read(cache_folder / "shared_cpu_list")
            sizes[level, shared] = int(size[1]) * SIZE_UNITS[size[2]]
    return sum(sizes.values()) or None


def gpu_of(device: str, host: Host) -> Gpu | None:
    """The GPU behind the name, or None."""
    named = Device.parse(device)
    if not named.is_gpu or named.index >= len(host.gpus):
        return None
    return host.gpus[named.index]


def check_present(devices: Sequence[str], host: Host) -> None:
    """Raise DeployBenchError for the first GPU among ``devices`` that the host does not have."""
    for device in devices:
        if not Device.parse(device).is_gpu or gpu_of(device, host) is not None:
            continue
        if not host.gpus:
            raise DeployBenchError(
                f"--device {device}, and this host has no CUDA device: {host.gpu_note}",
                expected="an NVIDIA GPU, its driver, and nvidia-ml-py to ask it",
                action="deploybench doctor says what is missing; --device cpu measures the CPU",
            )
        present = ", ".join(
            f"{Device(CUDA, index)} ({gpu.name})" for index, gpu in enumerate(host.gpus)
        )
        raise DeployBenchError(
            f"--device {device}, and this host has {present}", expected="one of these"
        )


@cache
def _cpu_info() -> dict[str, Any]:
    """Brand, vendor and flags of the CPU, by py-cpuinfo's names.

    That starts an interpreter of its own, which takes longer than all else that is read of a
    machine, so Linux's own list is read where it is whole. Its flags are those that the kernel lets
    programs use.
    """
    told = cpu_of(_read(Path("/proc/cpuinfo")))
    if told is not None:
        return told
    from cpuinfo import get_cpu_info

    return dict(get_cpu_info())


def cpu_of(text: str) -> dict[str, Any] | None:
    """The first CPU of ``/proc/cpuinfo`` as Linux writes it for x86; None for what is not whole.

    Other processors have other names there for their parts.
    """
    fields = {}
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        fields[name.strip()] = value.strip()
    brand, vendor = fields.get("model name"), fields.get("vendor_id")
    flags = fields.get("flags", "").split()
    if not brand or not vendor or not flags:
        return None
    return {"brand_raw": brand, "vendor_id_raw": vendor, "flags": flags}


def _read(path: Path) -> str:
    if not path.is_file():
        return ""
    return path.read_text().strip()


def _governor() -> str | None:
    path = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return _read(path) or None


def _os_name() -> str:
    if hasattr(platform, "freedesktop_os_release"):
        try:
            return str(platform.freedesktop_os_release()["PRETTY_NAME"])
        except (OSError, KeyError):
            return platform.platform()
    return platform.platform()
