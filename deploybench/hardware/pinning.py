"""``--pin``: whether the processes of a measurement are kept on certain CPUs, and on which.

Where a machine has more CPUs than the budget has threads, the system may put two threads on one
core, or on slow cores, and move them: the same cell then takes one time or another. ``auto`` keeps
them where they belong (``places.py``), ``none`` leaves them to the system. The CPUs that a process
may use are those of its affinity mask, which the kernel keeps within what the cpusets of its
cgroups allow (cpuset(7)). Only Linux lets a process be pinned; elsewhere ``auto`` pins nothing.

Another process that is kept on some of the CPUs, as those of a second run beside this one, cannot
give way: ``auto`` leaves it its cores as long as the others are enough.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from deploybench.children.inherited import can_pin
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.host import usable_cores
from deploybench.hardware.places import (
    Place,
    cores_of_cpus,
    cpus_in_words,
    list_of_cpus,
    place_of,
)
from deploybench.hardware.quotas import ROOT, affinity

AUTO: Literal["auto"] = "auto"
NONE: Literal["none"] = "none"
Pin = Literal["auto", "none"] | Sequence[int]
"""What may be asked for; a sequence is of CPUs."""
PART = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?")
EXPECTED = "auto, none, or CPUs as the kernel writes them: 0-3,8"

TAKES_ALL = "the budget takes every usable CPU"
NOT_WANTED = "--pin none"


@dataclass(frozen=True)
class Pinning:
    """What was asked for, and the CPUs that came of it; none of them: nothing is pinned.

    ``why`` these CPUs, or why none, in words.
    """

    asked: str = AUTO
    cpus: tuple[int, ...] = ()
    why: str = ""

    def cpus_for(self, device: str) -> tuple[int, ...]:
        """Where a cell on the device is pinned.

        What feeds a GPU is left to the system unless the user named CPUs: which of them are near
        the GPU is not known here.
        """
        if not self.concerns(device):
            return ()
        return self.cpus

    def concerns(self, device: str) -> bool:
        """Whether it is about cells on that device."""
        return self.asked != AUTO or kind_of(device) == CPU

    @property
    def chosen(self) -> bool:
        """Whether the user named the CPUs."""
        return self.asked not in (AUTO, NONE)

    @property
    def tells(self) -> bool:
        """Whether the user should hear of it: not where there was nothing to choose."""
        return bool(self.cpus) or self.why not in ("", TAKES_ALL, NOT_WANTED)

    @property
    def arguments(self) -> list[str]:
        """What on a command line asks for the same; nothing for the default."""
        if self.asked == AUTO:
            return []
        return ["--pin", self.asked]

    @property
    def words(self) -> str:
        """``CPUs 0-3: one hardware thread of each of 4 cores``; why none, where there are none."""
        if not self.cpus:
            return f"not pinned: {self.why}"
        return f"pinned to {cpus_in_words(self.cpus)}: {self.why}"


UNPINNED = Pinning()


def read_pin(text: str) -> Pin:
    """``auto``, ``none``, or ``0-3,8`` as CPUs. Raises DeployBenchError for anything else."""
    if text == AUTO:
        return AUTO
    if text == NONE:
        return NONE
    cpus: list[int] = []
    for part in text.split(","):
        numbers = PART.fullmatch(part.strip())
        if numbers is None:
            raise DeployBenchError(f"--pin {text}", expected=EXPECTED)
        first = int(numbers[1])
        last = int(numbers[2] or first)
        if last < first:
            raise DeployBenchError(
                f"--pin {text}: {part.strip()} ends before it begins", expected=EXPECTED
            )
        cpus += range(first, last + 1)
    return cpus


def check_pin(pin: Pin) -> None:
    """Raise DeployBenchError for a word that stands for nothing."""
    if isinstance(pin, str) and pin not in (AUTO, NONE):
        raise DeployBenchError(f"--pin {pin}", expected=EXPECTED)


def thread_budget(threads: int | None, pin: Pin) -> int:
    """The threads that were asked for; else the usable cores, or those of the CPUs of ``pin``."""
    if threads is not None:
        return threads
    if isinstance(pin, str):
        return usable_cores()
    return usable_cores(cpus=frozenset(pin))


def pinning_of(
    pin: Pin,
    threads: int,
    usable: Collection[int] | None = None,
    taken: Collection[int] | None = None,
    root: Path = ROOT,
) -> Pinning:
    """Where a budget of so many threads is pinned.

    ``usable`` are the CPUs of this process by default, ``taken`` the :func:`cpus_of_others`. Raises
    DeployBenchError for CPUs that cannot be had: on a system that pins nothing, not usable, named
    twice, or fewer than the threads.
    """
    if usable is None:
        usable = affinity()
    if pin == NONE:
        return Pinning(NONE, why=NOT_WANTED)
    if not isinstance(pin, str):
        _check(pin, threads, usable)
        return Pinning(list_of_cpus(pin), tuple(sorted(pin)), "--pin")
    if len(usable) <= threads:
        return Pinning(AUTO, why=TAKES_ALL)
    if not can_pin():
        return Pinning(AUTO, why="this system keeps no process on certain CPUs")
    place = place_of(threads, usable, root)
    if place is None:
        return Pinning(AUTO, why="the system does not tell which CPUs are cores of their own")
    if taken is None:
        taken = cpus_of_others(usable)
    return _beside(taken, place, threads, usable, root)


def cpus_of_others(usable: Collection[int]) -> frozenset[int]:
    """Those of the CPUs on which a process of others is kept: it may use some of them, not all.

    The threads of the kernel, of which each CPU has its own, are no such processes.
    """
    everywhere = frozenset(usable)
    others: set[int] = set()
    for number in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):  # it has ended meanwhile
            kept_on = os.sched_getaffinity(number)
            if number != os.getpid() and kept_on < everywhere and psutil.Process(number).cmdline():
                others |= kept_on
    return frozenset(others)


def _beside(
    taken: Collection[int], place: Place, threads: int, usable: Collection[int], root: Path
) -> Pinning:
    """The place, or another one on cores of which others have nothing, if these are enough."""
    free: set[int] = set()
    for core in cores_of_cpus(usable, root):
        if not set(core.cpus) & set(taken):
            free.update(core.cpus)
    other = place_of(threads, free, root)
    if other is None or len(cores_of_cpus(free, root)) < threads:
        return Pinning(AUTO, place.cpus, place.why)
    why = other.why
    if other.cpus != place.cpus:
        why += f"; on {cpus_in_words(taken)} others keep processes"
    return Pinning(AUTO, other.cpus, why)


def _check(cpus: Sequence[int], threads: int, usable: Collection[int]) -> None:
    """Raise DeployBenchError where processes cannot be pinned to these CPUs."""
    asked = f"--pin {list_of_cpus(cpus)}"
    if not can_pin():
        raise DeployBenchError(
            f"{asked} on a system that keeps no process on certain CPUs",
            expected="Linux",
            action="leave --pin out",
        )
    if not cpus:
        raise DeployBenchError("--pin without any CPU", expected=EXPECTED)
    twice = [cpu for cpu, count in Counter(cpus).items() if count > 1]
    if twice:
        raise DeployBenchError(
            f"{asked} names {cpus_in_words(twice)} more than once", expected="every CPU once"
        )
    missing = set(cpus) - set(usable)
    if missing:
        raise DeployBenchError(
            f"{asked}: {cpus_in_words(missing)} {_cannot_be_used(missing)} by this process",
            expected=f"some of {cpus_in_words(usable)}",
            action="taskset -p $$ and the cpuset of the cgroup say what it may use",
        )
    if len(cpus) < threads:
        raise DeployBenchError(
            f"{asked} for {threads} threads: {_count(len(cpus))}",
            expected="a CPU for each thread at least",
            action=f"--threads {len(cpus)}, or more CPUs",
        )


def _cannot_be_used(cpus: Collection[int]) -> str:
    if len(cpus) == 1:
        return "is not usable"
    return "are not usable"


def _count(cpus: int) -> str:
    if cpus == 1:
        return "1 CPU"
    return f"{cpus} CPUs"
