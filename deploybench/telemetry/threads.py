"""The threads of this process that really worked, told by the CPU time that each one took.

A budget of two threads is no proof of two: a small model leaves one idle, a mask of one CPU makes
them take turns. Two snapshots around a window tell each thread's CPU time in between, in ns from
/proc/self/task/*/schedstat (its first field), else in ticks from stat (proc(5)). A thread counts
when it took at least a tenth of the CPU time of the busiest: helpers that wake up now and then do
not. Threads that end before the second snapshot are not seen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploybench.hardware.places import cpus_of_list

TASKS = Path("/proc/self/task")
NS_PER_S = 1_000_000_000
LEAST_SHARE = 0.1
"""Of the CPU time of the busiest thread."""
LEAST_NS = 1_000_000
UTIME, STIME = 11, 12
"""Where these fields stand in /proc/PID/stat behind the name in parentheses."""


@dataclass(frozen=True)
class ThreadsRan:
    """``count`` threads worked; ``cpus`` are those on which any of them may run."""

    count: int
    cpus: frozenset[int]


def read_threads(tasks: Path = TASKS) -> dict[str, int]:
    """CPU time of every thread in ns, by its number; empty where the system does not tell."""
    times = {}
    for task in tasks.glob("*"):
        time_ns = _cpu_ns(task)
        if time_ns is not None:
            times[task.name] = time_ns
    return times


def threads_between(
    before: Mapping[str, int], after: Mapping[str, int], tasks: Path = TASKS
) -> ThreadsRan | None:
    """The threads that worked between the two snapshots; None where nothing was told."""
    took = {task: time_ns - before.get(task, 0) for task, time_ns in after.items()}
    most = max(took.values(), default=0)
    if most < LEAST_NS:
        return None
    busy = [task for task, time_ns in took.items() if time_ns >= LEAST_SHARE * most]
    cpus: set[int] = set()
    for task in busy:
        cpus |= _allowed(tasks / task)
    return ThreadsRan(len(busy), frozenset(cpus))


def _cpu_ns(task: Path) -> int | None:
    try:
        first = (task / "schedstat").read_text().split()[:1]
        if first and first[0].isdigit():
            return int(first[0])
    except OSError:
        pass
    try:
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[UTIME]) + int(fields[STIME])
        return ticks * NS_PER_S // os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def _allowed(task: Path) -> frozenset[int]:
    """The CPUs of a thread's mask; none where it is gone."""
    try:
        lines = (task / "status").read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        if line.startswith("Cpus_allowed_list:"):
            return cpus_of_list(line.partition(":")[2])
    return frozenset()
