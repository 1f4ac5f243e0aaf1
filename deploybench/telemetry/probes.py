"""Three fixed pieces of work that tell how fast the machine is, apart from the cell.

Each takes tens of ms.

compute   SHA-256 of 64 KiB: one core's arithmetic, in its own caches.
memory    a copy of 32 MiB: the way to memory.
hop       one byte that two processes, pinned to two cores, hand to and fro: the time that a cache
          line takes from core to core. It changes when a hypervisor moves virtual cores between
          caches, and alone explained 20 to 60 % of swing of two-thread cells on such machines.

Each figure is the shortest of its repetitions: whatever interrupts a repetition only makes it
longer. This file runs by itself, without the package and without site-packages, so that a probe
starts in 15 ms: ``python -I -S probes.py CPU,CPU`` prints one JSON object. It needs Linux for the
hop (pinning, fork).
"""

import contextlib
import hashlib
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Collection
from time import perf_counter_ns

TIME_LIMIT_S = 5
COMPUTE_BYTES, COMPUTE_TIMES = 1 << 16, 200
MEMORY_BYTES, MEMORY_TIMES = 1 << 25, 5
HOPS, HOP_TIMES = 1000, 20
MOST_PAIRS = 4
LOOKS = 100_000


def probe_machine(threads: int, cpus: Collection[int]) -> dict[str, object]:
    """The readings of all probes: ``compute_us``, ``memory_ms`` and ``hop_ns``, the longest way.

    The hop is between the cores on which ``threads`` of ``cpus`` belong (``hardware/places.py``);
    it is None for a budget of one core and where processes cannot be pinned. Everything is None
    when the probe itself fails: a measurement without its probes is still one.
    """
    cores = ",".join(str(cpu) for cpu in budget(threads, cpus))
    command = [sys.executable, "-I", "-S", __file__, cores]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIME_LIMIT_S, check=True)
        return dict(json.loads(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return {"compute_us": None, "memory_ms": None, "hop_ns": None}


def main() -> None:
    """Run all probes between the cores of the first argument."""
    cpus = [int(cpu) for cpu in sys.argv[1].split(",") if cpu]
    compute_ns = _compute_ns()
    memory_ns = _memory_ns()
    # From the first core to each of the others; the slowest way is what a barrier waits for.
    hops_ns = [_hop_ns(cpus[0], other) for other in cpus[1 : MOST_PAIRS + 1]]
    readings = {
        "compute_us": compute_ns / 1e3,
        "memory_ms": memory_ns / 1e6,
        "hop_ns": max(hops_ns, default=None),
    }
    print(json.dumps(readings))


def budget(threads: int, cpus: Collection[int]) -> list[int]:
    """One CPU of each of the cores that the budget belongs on.

    None where there is no way between cores, or no pinning.
    """
    # Here, because the child runs this file without the package.
    from deploybench.children.inherited import can_pin
    from deploybench.hardware.places import first_of_each_core

    if threads < 2 or not can_pin():
        return []
    budget = first_of_each_core(threads, cpus)
    if len(budget) < 2:
        return []
    return budget


def _compute_ns() -> float:
    data = bytes(COMPUTE_BYTES)
    return min(_timed(lambda: hashlib.sha256(data).digest()) for _ in range(COMPUTE_TIMES))


def _memory_ns() -> float:
    source = bytearray(b"\x01") * MEMORY_BYTES
    target = bytearray(MEMORY_BYTES)

    def copy() -> None:
        target[:] = source

    return min(_timed(copy) for _ in range(MEMORY_TIMES))


def _hop_ns(here: int, there: int) -> float:
    """The time of one way of the byte between the two cores."""
    byte = mmap.mmap(-1, mmap.PAGESIZE)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        # The other process sets the byte back whenever it sees it set. It looks whether its parent
        # still lives once in many turns: a system call takes as long as some hops.
        with contextlib.suppress(BaseException):
            os.sched_setaffinity(0, {there})
            while os.getppid() == parent:
                for _ in range(LOOKS):
                    if byte[0]:
                        byte[0] = 0
        os._exit(0)
    try:
        os.sched_setaffinity(0, {here})
        _exchange(byte)  # until the other process runs
        return min(_timed(lambda: _exchange(byte)) / HOPS for _ in range(HOP_TIMES))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _exchange(byte: mmap.mmap) -> None:
    """Set the byte and wait until it is 0 again: two hops, there and back, in each turn."""
    for _ in range(HOPS // 2):
        byte[0] = 1
        while byte[0]:
            pass


def _timed(work) -> int:  # type: ignore[no-untyped-def]
    start = perf_counter_ns()
    work()
    return perf_counter_ns() - start


if __name__ == "__main__":
    main()
