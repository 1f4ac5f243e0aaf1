"""What else the machine did while something was timed, and at what clock.

Two snapshots around a window give an :class:`Activity`. CPU time comes from ``/proc/stat``
(proc_stat(5)), which counts in ticks of ``SC_CLK_TCK`` (10 ms): the shares of a window are known to
one tick / wall time and no better, which ``Activity.share_resolution`` says. Time in guests is
already part of user time there and is not added again.

Own time is that of this process and of its children *that have ended and been waited for*
(getrusage(2)); a child that still runs is foreign until then. What a snapshot cannot read is None,
on any system; nothing here raises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter_ns

import psutil

PROC = Path("/proc")
CPU_FOLDER = Path("/sys/devices/system/cpu")
THROTTLE_COUNTERS = ("core_throttle_count", "package_throttle_count")
KHZ_PER_MHZ = 1e3
NS_PER_S = 1e9
MOST_MISSING = 0.1
"""Cores that we used and /proc/stat does not show: more means that it is not this machine's (some
sandboxes)."""


@dataclass(frozen=True)
class CpuTimes:
    """Seconds since boot, summed over some CPUs.

    ``steal_s`` is what the hypervisor gave to others.
    """

    busy_s: float
    idle_s: float
    steal_s: float


@dataclass(frozen=True)
class OwnUsage:
    """What this process has used since it began: CPU seconds (ended children too), its own
    involuntary switches."""

    cpu_s: float
    involuntary_switches: int


@dataclass(frozen=True)
class Snapshot:
    """One moment. ``throttle_count`` only grows; the rest of the CPU figures are of ``cpus``."""

    clock_ns: int
    cpus: frozenset[int]
    times: CpuTimes | None
    own: OwnUsage | None
    load_1m: float
    frequency_mhz: float | None
    throttle_count: int | None


@dataclass(frozen=True)
class Activity:
    """What happened between two snapshots. Shares are of wall time x CPUs, from 0 to 1.

    ``foreign_cpu_share`` is busy time on these CPUs that is not this process's own; ``steal_share``
    is time that the hypervisor withheld. Both are known to ``share_resolution`` only.
    ``involuntary_switches`` counts how often this process was pushed off a CPU. ``load_1m`` is the
    load average at the end. ``frequency_mhz`` is the mean over the CPUs, idle ones too, at both
    ends. ``throttle_events`` is the increase of the thermal counters summed over the CPUs: each CPU
    of a package counts an event of that package, so more than zero means something and how much
    more does not.
    """

    wall_s: float
    foreign_cpu_share: float | None
    steal_share: float | None
    share_resolution: float | None
    involuntary_switches: int | None
    load_1m: float
    frequency_mhz: float | None
    throttle_events: int | None


def usable_cpus() -> frozenset[int]:
    """The CPUs that the calling thread may run on; all of them where there is no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def read_activity(
    cpus: frozenset[int] | None = None, *, proc: Path = PROC, cpu_folder: Path = CPU_FOLDER
) -> Snapshot:
    """Take a snapshot of ``cpus``, of :func:`usable_cpus` by default.

    Some runtimes pin the thread that loads them to one CPU and their own threads to others: ask
    :func:`usable_cpus` before such a runtime loads, and pass the answer to both snapshots.
    """
    cpus = usable_cpus() if cpus is None else cpus
    frequency = _frequency_mhz(cpus, proc, cpu_folder)
    throttle_count = _throttle_count(cpus, cpu_folder)
    load = psutil.getloadavg()[0]
    # the clock and the two accounts of CPU time last and together: they have to agree
    return Snapshot(
        times=_cpu_times(cpus, proc),
        own=_own_usage(),
        clock_ns=perf_counter_ns(),
        cpus=cpus,
        load_1m=load,
        frequency_mhz=frequency,
        throttle_count=throttle_count,
    )


def between(before: Snapshot, after: Snapshot) -> Activity:
    """What happened from ``before`` to ``after``; what depends on the CPUs is None when theirs
    differ."""
    wall_s = (after.clock_ns - before.clock_ns) / NS_PER_S
    cpu_s = wall_s * len(before.cpus)
    same_cpus = before.cpus == after.cpus
    foreign = steal = resolution = None
    if before.times and after.times and same_cpus and cpu_s > 0:
        resolution = tick_s() / wall_s
        steal = (after.times.steal_s - before.times.steal_s) / cpu_s
        if before.own and after.own:
            busy_s = after.times.busy_s - before.times.busy_s
            foreign_s = busy_s - (after.own.cpu_s - before.own.cpu_s)
            plausible = foreign_s > -MOST_MISSING * wall_s - 2 * tick_s() * len(before.cpus)
            foreign = max(foreign_s, 0.0) / cpu_s if plausible else None
    involuntary = throttle_events = None
    if before.own and after.own:
        involuntary = after.own.involuntary_switches - before.own.involuntary_switches
    if before.throttle_count is not None and after.throttle_count is not None and same_cpus:
        throttle_events = after.throttle_count - before.throttle_count
    frequencies = [one.frequency_mhz for one in (before, after) if one.frequency_mhz is not None]
    return Activity(
        wall_s=wall_s,
        foreign_cpu_share=foreign,
        steal_share=steal,
        share_resolution=resolution,
        involuntary_switches=involuntary,
        load_1m=after.load_1m,
        frequency_mhz=fmean(frequencies) if frequencies else None,
        throttle_events=throttle_events,
    )


def tick_s() -> float:
    """The resolution of ``/proc/stat``."""
    return 1 / os.sysconf("SC_CLK_TCK")


def _cpu_times(cpus: frozenset[int], proc: Path) -> CpuTimes | None:
    """The sum over the ``cpuN`` lines of ``cpus``; None where one of them is not there (offline, or
    no Linux)."""
    wanted = {f"cpu{cpu}" for cpu in cpus}
    lines = [line.split() for line in _read(proc / "stat").splitlines()]
    found = [
        [int(field) for field in fields[1:9]] for fields in lines if fields and fields[0] in wanted
    ]
    if len(found) != len(wanted):
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (
        sum(column) * tick_s() for column in zip(*found, strict=True)
    )
    return CpuTimes(
        busy_s=user + nice + system + irq + softirq, idle_s=idle + iowait, steal_s=steal
    )


def _own_usage() -> OwnUsage | None:
    if sys.platform == "win32":
        return None
    import resource

    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime
    return OwnUsage(cpu_s=cpu_s, involuntary_switches=own.ru_nivcsw)


def _frequency_mhz(cpus: frozenset[int], proc: Path, cpu_folder: Path) -> float | None:
    """The mean of cpufreq's figures; those of ``/proc/cpuinfo`` where there is no cpufreq driver.

    In a virtual machine ``/proc/cpuinfo`` repeats the nominal clock whatever the real one is, so
    there it is not used.
    """
    scaling = [_number(cpu_folder / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq") for cpu in cpus]
    found = [khz / KHZ_PER_MHZ for khz in scaling if khz is not None] or list(
        _cpuinfo_mhz(cpus, proc)
    )
    return fmean(found) if found else None


def _cpuinfo_mhz(cpus: frozenset[int], proc: Path) -> Iterator[float]:
    for block in _read(proc / "cpuinfo").split("\n\n"):
        fields = {
            key.strip(): value.strip()
            for key, _, value in (line.partition(":") for line in block.splitlines())
        }
        wanted = (
            int(fields.get("processor", -1)) in cpus
            and "hypervisor" not in fields.get("flags", "").split()
        )
        if wanted and "cpu MHz" in fields:
            yield float(fields["cpu MHz"])


def _throttle_count(cpus: frozenset[int], cpu_folder: Path) -> int | None:
    folders = [cpu_folder / f"cpu{cpu}" / "thermal_throttle" for cpu in cpus]
    found = [_number(folder / counter) for folder in folders for counter in THROTTLE_COUNTERS]
    counts = [count for count in found if count is not None]
    return sum(counts) if counts else None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    """The text of a file; nothing where there is no such file or it may not be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
