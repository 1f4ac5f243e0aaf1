"""Options of a cell that belong to the worker's process: told by its environment, proved in it.

An allocator is preloaded, and proved by the library that ``malloc`` lies in. Huge pages are asked
of the allocator (and of PyTorch's own), and proved by the kernel's count of them. OpenMP reads
whether idle threads spin when it is loaded, and tells nobody: where a runtime does not tell either,
the CPU time that threads take while no call runs is the proof.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from deploybench.contracts import RunOptions
from deploybench.hardware.allocators import DEFAULT, allocator_library, check_allocator
from deploybench.results.launch import Facts
from deploybench.telemetry.memory import anonymous_bytes, huge_page_bytes

MAPS = Path("/proc/self/maps")
POLICIES = {"on": "ACTIVE", "off": "PASSIVE"}
"""OMP_WAIT_POLICY by the value of ``--spinning`` (OpenMP 5.2, 21.1.8)."""
GLIBC_HUGE_PAGES = "glibc.malloc.hugetlb=1"
JEMALLOC_HUGE_PAGES = "thp:always,metadata_thp:auto"
WATCHED_S = 0.05
"""Without a call, to see whether idle threads take CPU time."""
SPINNING_SHARE = 0.05
"""Of one CPU: a thread that sleeps takes nothing, one that spins all that its CPU has for it: 0.25
with three others on it."""
MIB = 1 << 20


def environment_of(options: RunOptions, user: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a worker of such a cell needs; the ``user``'s own stay beside them.

    Raises DeployBenchError for an allocator that this host lacks.
    """
    variables: dict[str, str] = {}
    if options.spinning != DEFAULT:
        variables["OMP_WAIT_POLICY"] = POLICIES[options.spinning]
    if options.allocator != DEFAULT:
        check_allocator(options.allocator)
        library = str(allocator_library(options.allocator))
        variables["LD_PRELOAD"] = _joined(" ", library, user.get("LD_PRELOAD"))
    if options.huge_pages != DEFAULT:
        variables["THP_MEM_ALLOC_ENABLE"] = "1"
        if options.allocator == "jemalloc":
            ours = _joined(",", user.get("MALLOC_CONF"), JEMALLOC_HUGE_PAGES)
            variables["MALLOC_CONF"] = ours
        else:
            ours = _joined(":", user.get("GLIBC_TUNABLES"), GLIBC_HUGE_PAGES)
            variables["GLIBC_TUNABLES"] = ours
    return variables


def settled(
    facts: Facts, asked: RunOptions, call: Callable[[], object]
) -> tuple[Facts, str | None]:
    """The facts with what this process tells of its options, and why it is not what was asked.

    ``call`` is one call of the session, after which its threads are idle.
    """
    notes: list[str] = []
    refused = None
    if asked.allocator != DEFAULT:
        library = library_of_malloc()
        notes.append(f"malloc of {library or 'an unknown library'}")
        if library is None or not library.startswith(f"lib{asked.allocator}"):
            refused = f"asked for allocator {asked.allocator}, malloc is that of {library}"
    if asked.huge_pages != DEFAULT:
        huge, anonymous = huge_page_bytes(), anonymous_bytes()
        if not huge or not anonymous:
            refused = refused or "asked for huge pages, the kernel gave this process none"
        else:
            notes.append(f"{huge // MIB} of {anonymous // MIB} MiB in huge pages")
    if asked.spinning != DEFAULT and "spinning" not in facts.options:
        note, contradiction = _watched(asked, call)
        notes.append(note)
        refused = refused or contradiction
    return facts.replaced(notes=(*facts.notes, *notes)), refused


def library_of_malloc(maps: Path = MAPS) -> str | None:
    """The file name of the library that this process's ``malloc`` lies in."""
    address = ctypes.cast(ctypes.CDLL(None).malloc, ctypes.c_void_p).value or 0
    try:
        lines = maps.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        # "7f0c1000-7f0c9000 r-xp 00000000 08:01 1234   /usr/lib/libjemalloc.so.2"
        fields = line.split(maxsplit=5)
        first, _, last = fields[0].partition("-")
        if int(first, 16) <= address < int(last, 16) and len(fields) > 5:
            return Path(fields[5]).name
    return None


def idle_share(call: Callable[[], object], seconds: float = WATCHED_S) -> float:
    """The CPU time that this process takes right after ``call``, while nothing is asked of it.

    As a share of one CPU.
    """
    call()
    before_s, start_s = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    used_s = time.process_time() - before_s
    return used_s / (time.perf_counter() - start_s)


def _watched(asked: RunOptions, call: Callable[[], object]) -> tuple[str, str | None]:
    """What is to be said of idle threads, and why they do not do what was asked."""
    if asked.threads_each == 1:
        return "one thread: none idles between calls", None
    share = idle_share(call)
    seen = f"idle threads took {share:.0%} of a CPU"
    spins = share >= SPINNING_SHARE
    if asked.spinning == "on" and not spins:
        return (
            seen,
            f"asked for spinning on, {seen}: no call runs in several threads, or they sleep",
        )
    if asked.spinning == "off" and spins:
        return seen, f"asked for spinning off, {seen}"
    return seen, None


def _joined(separator: str, *parts: str | None) -> str:
    return separator.join(part for part in parts if part)
