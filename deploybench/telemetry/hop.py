"""The way of a cache line from core to core, read again and again: a part of the canary.

On a virtual machine it changes when the hypervisor moves virtual cores between caches, and nothing
in this system shows it. Calls whose threads meet often then take half as long again, others hardly
longer: two states of one machine, each with times of its own.

At the other end is a partner, a process of its own that is pinned to the other core. Between two
readings it waits for a byte on its standard input and takes no time from anybody; it ends when that
is closed. It runs this file by itself, without the package and without site-packages. Linux alone
has what both need (pinning, memory that has a file number).
"""

import contextlib
import mmap
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter_ns

TURNS = 50
"""Of an exchange, two hops each: some 10 us."""
TIMES = 10
"""An interrupt only makes an exchange longer: the shortest counts."""
MOST_PARTNERS = 4
LOOKS = 1000
"""After so many the partner looks whether this process still lives."""
PATIENCE = 10_000_000
"""So many looks, half a second, this side waits for the ball."""
BALL, GAME = 0, 1
"""The bytes that both see: whose turn it is, and whether there are any turns to come."""


class HopProbe:
    """The hop from the first of some CPUs to the others, two at least; a context manager."""

    def __init__(self, cpus: Sequence[int]) -> None:
        self._here, *others = cpus
        self._stack = ExitStack()
        with self._stack:
            self._partners = []
            for cpu in others[:MOST_PARTNERS]:
                self._partners.append(self._stack.enter_context(_Partner(cpu)))
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "HopProbe":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def read_ns(self) -> float:
        """One way (ns) to the farthest of the other CPUs: what a barrier waits for.

        Raises OSError where a partner does not answer, or this thread cannot be pinned.
        """
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self._here})
        try:
            return max(partner.hop_ns() for partner in self._partners)
        finally:
            os.sched_setaffinity(0, allowed)


class _Partner:
    """The process at the other end."""

    def __init__(self, cpu: int) -> None:
        number = os.memfd_create("hop")
        try:
            os.ftruncate(number, mmap.PAGESIZE)
            self._bytes = mmap.mmap(number, mmap.PAGESIZE)
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, str(number), str(cpu)],
                stdin=subprocess.PIPE,
                pass_fds=(number,),
            )
        finally:
            os.close(number)

    def __enter__(self) -> "_Partner":
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.communicate()

    def hop_ns(self) -> float:
        """The shortest of some exchanges; the first one only waits until the partner is awake."""
        assert self._child.stdin is not None
        self._bytes[GAME] = 1
        try:
            os.write(self._child.stdin.fileno(), b"s")
            self._exchange_ns()
            return min(self._exchange_ns() for _ in range(TIMES)) / (2 * TURNS)
        finally:
            self._bytes[GAME] = 0

    def _exchange_ns(self) -> int:
        """Hand over the ball and wait until it is back, again and again."""
        seen = self._bytes
        start = perf_counter_ns()
        for _ in range(TURNS):
            seen[BALL] = 1
            for _ in range(PATIENCE):
                if not seen[BALL]:
                    break
            else:
                raise OSError("the partner does not answer")
        return perf_counter_ns() - start


def main() -> None:
    """The partner: its arguments are the number of the shared memory and its CPU."""
    number, cpu = int(sys.argv[1]), int(sys.argv[2])
    parent = os.getppid()
    seen = mmap.mmap(number, mmap.PAGESIZE)
    os.sched_setaffinity(0, {cpu})
    while os.read(0, 1):
        while seen[GAME] and os.getppid() == parent:
            for _ in range(LOOKS):
                if seen[BALL]:
                    seen[BALL] = 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
