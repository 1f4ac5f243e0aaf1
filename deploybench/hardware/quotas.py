"""What cgroups allow this process of the CPUs, and how often they held it back.

A cgroup with a quota may run for so many microseconds of CPU time in each period; what it asks for
beyond that waits until the next one begins ("CFS throttling"). A process stands in one cgroup, and
every cgroup above that one limits it too: the tightest quota counts. Version 2 has one hierarchy
with ``cpu.max`` (cgroup-v2.rst), version 1 a hierarchy of its own for the CPU with
``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` (sched-bwc.rst). Where the hierarchies are mounted
and which cgroup is this process's is told by /proc/self/mountinfo and /proc/self/cgroup (proc(5)),
as this process sees them: in a container the topmost cgroup that can be seen is the container's.

Every function takes the folder that stands for ``/``, and nothing here raises for what it finds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/")
CPU_CONTROLLER = "cpu"
NS_PER_S = 1e9
US_PER_S = 1e6
LEAST_USABLE = 1
"""A quota of half a CPU still runs one thread, half of the time."""


@dataclass(frozen=True)
class Quota:
    """``cpus`` is CPU time over wall time: 1.5 are one and a half CPUs. ``source`` names the
    file."""

    cpus: float
    source: str


@dataclass(frozen=True)
class Throttling:
    """How often this process's cgroups, or those above, were made to wait, since they exist.

    ``count`` is the number of periods in which that happened; ``seconds`` is how long, summed over
    CPUs, None where one of them does not tell.
    """

    count: int
    seconds: float | None


@dataclass(frozen=True)
class _Group:
    """One cgroup that limits this process: its folder, and the version of its hierarchy."""

    folder: Path
    version: int


def cpu_quota(root: Path = ROOT) -> Quota | None:
    """The tightest quota on the way from this process's cgroup to the topmost one, or None."""
    quotas = []
    for group in _groups(root):
        quota = _quota_of(group, root)
        if quota is not None:
            quotas.append(quota)
    return min(quotas, key=lambda quota: quota.cpus, default=None)


def read_throttling(root: Path = ROOT) -> Throttling | None:
    """What the cgroups with a quota have counted so far; None where there is none."""
    count = 0
    seconds: float | None = 0.0
    limited = False
    for group in _groups(root):
        if _quota_of(group, root) is None:
            continue
        counters = _counters(group.folder / "cpu.stat")
        if "nr_throttled" not in counters:
            continue
        limited = True
        count += counters["nr_throttled"]
        waited_s = _waited_s(counters)
        if waited_s is None or seconds is None:
            seconds = None
        else:
            seconds += waited_s
    if not limited:
        return None
    return Throttling(count, seconds)


def affinity() -> frozenset[int]:
    """The CPUs that the calling thread may run on; all of them where there is no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def cores_of(cpus: frozenset[int], root: Path = ROOT) -> int | None:
    """How many cores the CPUs belong to: two hardware threads of one core are one.

    None where the system does not tell.
    """
    cores = {siblings_of(cpu, root) for cpu in cpus}
    if "" in cores:
        return None
    return len(cores)


def siblings_of(cpu: int, root: Path = ROOT) -> str:
    """The list of the hardware threads of the CPU's core, as the kernel writes it.

    Nothing where the system does not tell.
    """
    folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
    # the older name of the same list stands second
    return text_of(folder / "core_cpus_list") or text_of(folder / "thread_siblings_list")


def whole_cpus(quota: Quota | None) -> int | None:
    """How many threads a quota lets run all of the time: its whole part, at least one."""
    if quota is None:
        return None
    return max(int(quota.cpus), LEAST_USABLE)


def _groups(root: Path) -> Iterator[_Group]:
    """The cgroups that limit this process's CPU time, its own first, of both versions."""
    paths = _own_paths(root)
    for version, mount_root, mount_point in _mounts(root):
        own = paths.get(version)
        if own is None:
            continue
        top = root / mount_point.lstrip("/")
        folder = _folder_of(own, mount_root, top)
        while True:
            yield _Group(folder, version)
            if folder == top:
                break
            folder = folder.parent


def _own_paths(root: Path) -> dict[int, str]:
    """This process's cgroup by version, from /proc/self/cgroup: ``4:cpu,cpuacct:/a/b``."""
    paths = {}
    for line in text_of(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) < 3:
            continue
        hierarchy, controllers, path = fields
        if hierarchy == "0" and not controllers:
            paths[2] = path
        elif CPU_CONTROLLER in controllers.split(","):
            paths[1] = path
    return paths


def _mounts(root: Path) -> Iterator[tuple[int, str, str]]:
    """Version, root and mount point of each hierarchy that can limit CPU time.

    A line of /proc/self/mountinfo: ``36 35 98:0 ROOT POINT options [optional ...] - TYPE source
    OPTIONS``.
    """
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        mount, separator, system = line.partition(" - ")
        fields, described = mount.split(), system.split()
        if not separator or len(fields) < 5 or not described:
            continue
        mount_root, point = _unescaped(fields[3]), _unescaped(fields[4])
        if described[0] == "cgroup2":
            yield 2, mount_root, point
        elif described[0] == "cgroup" and CPU_CONTROLLER in described[-1].split(","):
            yield 1, mount_root, point


def _folder_of(own: str, mount_root: str, top: Path) -> Path:
    """Where the cgroup lies below the mount point.

    What lies outside of what is mounted (a container that sees the host's names) is seen from the
    mount point on.
    """
    if ".." in PurePosixPath(own).parts:
        return top
    try:
        below = PurePosixPath(own).relative_to(mount_root)
    except ValueError:
        return top
    folder = top / below
    if not folder.is_dir():
        return top
    return folder


def _quota_of(group: _Group, root: Path) -> Quota | None:
    """The group's own quota; None where it has none."""
    if group.version == 2:
        path = group.folder / "cpu.max"
        limit, _, period = text_of(path).partition(" ")
    else:
        path = group.folder / "cpu.cfs_quota_us"
        limit, period = text_of(path), text_of(group.folder / "cpu.cfs_period_us")
    # no quota is written as "max" in version 2 and as -1 in version 1
    if not limit.isdigit() or not period.isdigit() or int(limit) == 0 or int(period) == 0:
        return None
    return Quota(int(limit) / int(period), f"/{path.relative_to(root).as_posix()}")


def _counters(path: Path) -> dict[str, int]:
    """The lines of a ``cpu.stat``: a name and a number each."""
    counters = {}
    for line in text_of(path).splitlines():
        name, _, number = line.partition(" ")
        if number.strip().isdigit():
            counters[name] = int(number)
    return counters


def _waited_s(counters: dict[str, int]) -> float | None:
    """Microseconds in version 2, nanoseconds in version 1."""
    if "throttled_usec" in counters:
        return counters["throttled_usec"] / US_PER_S
    if "throttled_time" in counters:
        return counters["throttled_time"] / NS_PER_S
    return None


def _unescaped(path: str) -> str:
    """A space in a path stands as ``\\040`` in mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def text_of(path: Path) -> str:
    """The text of a file; nothing where it does not read."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
