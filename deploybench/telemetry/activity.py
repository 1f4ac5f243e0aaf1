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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter_ns

import psutil

from deploybench.hardware.quotas import ROOT, Throttling, affinity, read_throttling

PROC = Path("/proc")
CPU_FOLDER = Path("/sys/devices/system/cpu")
THROTTLE_COUNTERS = ("core_throttle_count", "package_throttle_count")
KHZ_PER_MHZ = 1e3
NS_PER_S = 1e9
MOST_MISSING = 0.1
"""Cores that we used and /proc/stat does not show.

More means that the file is not this machine's, as in some sandboxes.
"""


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
    """What this process has used since it began.

    CPU seconds with those of its ended children, and its own involuntary switches.
    """

    cpu_s: float
    involuntary_switches: int


@dataclass(frozen=True)
class Snapshot:
    """One moment. ``throttle_count`` and ``quota`` only grow; the other CPU figures are of
    ``cpus``."""

    clock_ns: int
    cpus: frozenset[int]
    times: CpuTimes | None
    own: OwnUsage | None
    load_1m: float
    frequency_mhz: float | None
    throttle_count: int | None
    quota: Throttling | None = None


@dataclass(frozen=True)
class Activity:
    """What happened between two snapshots. Shares are of wall time x CPUs, from 0 to 1.

    ``foreign_cpu_share`` is busy time on these CPUs that is not this process's own; ``steal_share``
    is time that the hypervisor withheld. Both are known to ``share_resolution`` only.
    ``involuntary_switches`` counts how often this process was pushed off a CPU. ``load_1m`` is the
    load average at the end. ``frequency_mhz`` is the mean over the CPUs, idle ones too, at both
    ends. ``throttle_events`` is the increase of the thermal counters summed over the CPUs: each CPU
    of a package counts an event of that package, so more than zero means something and how much
    more does not. ``quota_throttled`` is in how many periods a cgroup's quota made this process
    wait, or others in its cgroup; ``quota_share`` is how long, as a share of wall time x CPUs.
    """

    wall_s: float
    foreign_cpu_share: float | None
    steal_share: float | None
    share_resolution: float | None
    involuntary_switches: int | None
    load_1m: float
    frequency_mhz: float | None
    throttle_events: int | None
    quota_throttled: int | None = None
    quota_share: float | None = None


def usable_cpus() -> frozenset[int]:
    """The CPUs that the calling thread may run on; all of them where there is no affinity."""
    return affinity()


def read_activity(
    cpus: frozenset[int] | None = None,
    *,
    proc: Path = PROC,
    cpu_folder: Path = CPU_FOLDER,
    root: Path = ROOT,
) -> Snapshot:
    """Take a snapshot of ``cpus``, of :func:`usable_cpus` by default.

    Some runtimes pin the thread that loads them to one CPU and their own threads to others: ask
    :func:`usable_cpus` before such a runtime loads, and pass the answer to both snapshots.
    """
    if cpus is None:
        cpus = usable_cpus()
    frequency = _frequency_mhz(cpus, proc, cpu_folder)
    throttle_count = _throttle_count(cpus, cpu_folder)
    quota = read_throttling(root)
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
        quota=quota,
    )


def between(before: Snapshot, after: Snapshot) -> Activity:
    """What happened from ``before`` to ``after``.

    What depends on the CPUs is None when the two are of different ones.
    """
    wall_s = (after.clock_ns - before.clock_ns) / NS_PER_S
    cpu_s = wall_s * len(before.cpus)  # what these CPUs had to give
    same_cpus = before.cpus == after.cpus

    foreign_share = None
    steal_share = None
    resolution = None
    if before.times and after.times and same_cpus and cpu_s > 0:
        resolution = tick_s() / wall_s
        steal_share = (after.times.steal_s - before.times.steal_s) / cpu_s
        foreign_s = _foreign_s(before, after)
        # Ours are part of what /proc/stat calls busy. Less than that by more than its ticks can
        # explain (one at either end on each CPU), and its figures are no account of ours.
        slack_s = MOST_MISSING * wall_s + 2 * tick_s() * len(before.cpus)
        if foreign_s is not None and foreign_s > -slack_s:
            foreign_share = max(foreign_s, 0.0) / cpu_s

    involuntary_switches = None
    if before.own and after.own:
        involuntary_switches = after.own.involuntary_switches - before.own.involuntary_switches

    throttle_events = None
    if before.throttle_count is not None and after.throttle_count is not None and same_cpus:
        throttle_events = after.throttle_count - before.throttle_count

    quota_throttled = None
    quota_share = None
    if before.quota is not None and after.quota is not None:
        quota_throttled = after.quota.count - before.quota.count
        if before.quota.seconds is not None and after.quota.seconds is not None and cpu_s > 0:
            quota_share = (after.quota.seconds - before.quota.seconds) / cpu_s

    return Activity(
        wall_s=wall_s,
        foreign_cpu_share=foreign_share,
        steal_share=steal_share,
        share_resolution=resolution,
        involuntary_switches=involuntary_switches,
        load_1m=after.load_1m,
        frequency_mhz=_mean_of_known([before.frequency_mhz, after.frequency_mhz]),
        throttle_events=throttle_events,
        quota_throttled=quota_throttled,
        quota_share=quota_share,
    )


def _foreign_s(before: Snapshot, after: Snapshot) -> float | None:
    """Busy CPU seconds that were not ours; below 0 where the two accounts disagree."""
    if not (before.times and after.times and before.own and after.own):
        return None
    busy_s = after.times.busy_s - before.times.busy_s
    own_s = after.own.cpu_s - before.own.cpu_s
    return busy_s - own_s


def _mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are known; None where none is."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    return fmean(known)


def tick_s() -> float:
    """The resolution of ``/proc/stat``."""
    return 1 / os.sysconf("SC_CLK_TCK")


def _cpu_times(cpus: frozenset[int], proc: Path) -> CpuTimes | None:
    """The sum over the ``cpuN`` lines of ``cpus``.

    None where one of them is not there: the CPU is offline, or this is no Linux.
    """
    names = {f"cpu{cpu}" for cpu in cpus}
    rows = []
    for line in _read(proc / "stat").splitlines():
        fields = line.split()
        if fields and fields[0] in names:
            # user, nice, system, idle, iowait, irq, softirq, steal; guest times follow, which are
            # part of user and nice
            rows.append([int(field) for field in fields[1:9]])
    if len(rows) != len(names):
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (
        sum(column) * tick_s() for column in zip(*rows, strict=True)
    )
    return CpuTimes(
        busy_s=user + nice + system + irq + softirq,
        idle_s=idle + iowait,
        steal_s=steal,
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
    frequencies_mhz = []
    for cpu in cpus:
        khz = _number(cpu_folder / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq")
        if khz is not None:
            frequencies_mhz.append(khz / KHZ_PER_MHZ)
    if not frequencies_mhz:
        frequencies_mhz = list(_cpuinfo_mhz(cpus, proc))
    return _mean_of_known(frequencies_mhz)


def _cpuinfo_mhz(cpus: frozenset[int], proc: Path) -> Iterator[float]:
    """The ``cpu MHz`` of each of ``cpus``; none in a virtual machine."""
    for block in _read(proc / "cpuinfo").split("\n\n"):
        fields = {}
        for line in block.splitlines():
            key, _, value = line.partition(":")
            fields[key.strip()] = value.strip()
        if int(fields.get("processor", -1)) not in cpus:
            continue
        if "hypervisor" in fields.get("flags", "").split():
            continue
        if "cpu MHz" in fields:
            yield float(fields["cpu MHz"])


def _throttle_count(cpus: frozenset[int], cpu_folder: Path) -> int | None:
    """The sum of the counters of ``cpus``; None where none of them reads."""
    counts = []
    for cpu in cpus:
        for counter in THROTTLE_COUNTERS:
            count = _number(cpu_folder / f"cpu{cpu}" / "thermal_throttle" / counter)
            if count is not None:
                counts.append(count)
    if not counts:
        return None
    return sum(counts)


def _number(path: Path) -> int | None:
    """The number that a file holds; None where there is no such file, or no number in it."""
    text = _read(path).strip()
    if not text.isdigit():
        return None
    return int(text)


def _read(path: Path) -> str:
    """The text of a file; nothing where there is no such file or it may not be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
