"""The canary: a fixed piece of work that tells how much of its speed the machine delivers now.

It is read between every two visits of cells, on the same threads as theirs, in a process of its own
that rests like theirs. What others take from the machine (a neighbour in this system, or one of the
hypervisor's, which nothing in this system shows) makes it slower, and the cells beside it likewise.
Delivered speed is the least that it ever took on this host over what it takes now.

compute   products of two 768 x 768 float32 matrices by numpy's BLAS on all threads, and as much
          work again in products of 384 x 384, which a core's own caches hold. The library hands out
          the work and waits for the slowest thread, so that one thread that waits for its core is
          felt in all. (Of the large ones alone the time moved by 6 % between runs whose cells did
          not; of both together it goes with the cells'.)
memory    a copy that is larger than the cores' own caches, every thread its own part. The threads
          meet in a barrier now and again: the way between the cores is in it, too.
hop       the way of a cache line from one core to another (``hop.py``). It says which of its states
          the machine is in: what all else takes compares within one of them.
faults    pages that were never touched: the system has to find and clear each of them. On a
          virtual machine that costs several times as much at one time as at another, and a runtime
          that gives its memory back after every call pays it thousands of times a call.

A reading is the whole time of each: whatever was taken meanwhile is in it. (The least of several
products, or their median, would miss a neighbour who is there half of the time.) The work depends
on the number of threads alone. On two cores of 3 GHz it takes 10 to 20 ms.

A reading says nothing of a single call, and nothing of work that neither the caches nor the
arithmetic of many threads take part in.

It runs as a resident, and answers each question with a :class:`CanaryReading`.
"""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from mmap import PAGESIZE, mmap
from threading import Barrier
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier
from deploybench.hardware.quotas import affinity
from deploybench.results.visit import NEW_PAGES, CanaryReading
from deploybench.telemetry.hop import HopProbe
from deploybench.telemetry.probes import budget

METHOD = 6
"""Counts what was changed in the work: what an earlier one took is not compared with it."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What numpy's libraries read their number of threads from, when they load."""

MATRIX_SIZE = 768
SMALL_SIZE = 384
SMALL_FOR_LARGE = (MATRIX_SIZE // SMALL_SIZE) ** 3
"""So many small products are as much work as a large one."""
WAKING_SIZE = 384
"""Of the product before those that are timed: large enough for all threads."""
PRODUCTS_A_THREAD = 2
"""Four on two threads, two of them in small ones. More threads are faster, and have to be busy
about as long."""
LONGEST_NS = 40_000_000
"""Two readings stand around every visit of 75 ms."""
STREAM_BYTES = 32 << 20
"""Of source and target together."""
STREAM_BYTES_A_THREAD = 4 << 20
"""At least: a core's own caches hold less."""
STREAM_PASSES = 1
MEETINGS = 4
"""How often the threads wait for each other in a pass. A barrier in Python takes some 20 us."""
BYTES_PER_FLOAT = 4
NS_PER_US = 1e3
FLOPS_PER_US_OF_ONE_GFLOPS = 1e3

Floats = npt.NDArray[np.float32]


class Canary:
    """The work, with everything that it needs allocated and touched."""

    def __init__(self, threads: int, hop: HopProbe | None = None) -> None:
        """``threads`` is the budget; numpy's library has been told of it by its environment."""
        self._hop = hop
        self._products = products_of(threads)
        shape = (MATRIX_SIZE, MATRIX_SIZE)
        self._matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        self._product = np.empty_like(self._matrix)
        self._small_matrix = self._matrix[:SMALL_SIZE, :SMALL_SIZE].copy()
        self._small_product = np.empty_like(self._small_matrix)
        self._waking = np.ones((WAKING_SIZE, WAKING_SIZE), np.float32)

        stream_bytes = max(STREAM_BYTES, STREAM_BYTES_A_THREAD * threads)
        source = np.ones(stream_bytes // 2 // BYTES_PER_FLOAT, np.float32)
        target = np.zeros_like(source)
        # Every thread has its part, and works through it piece by piece.
        sources = np.array_split(source, threads)
        targets = np.array_split(target, threads)
        self._parts = [
            _in_pieces(target, source) for target, source in zip(targets, sources, strict=True)
        ]
        self._barrier = Barrier(threads)
        self._pool = ThreadPoolExecutor(threads)

    def read(self) -> CanaryReading:
        """Do all of the work once.

        The memory comes first. After a product the library's threads go on looking for work for
        some ms, and would look for it on the cores that copy.
        """
        self._stream(passes=1)  # the threads wake up, and the caches hold nobody else's data
        memory_ns = self._stream(STREAM_PASSES)
        hop_ns = self._hop_ns()
        np.matmul(self._waking, self._waking)  # wakes the library's threads up
        compute_ns = self._multiply()
        faults_ns = _touch_new_pages()
        return CanaryReading(
            compute_us=compute_ns / NS_PER_US,
            memory_us=memory_ns / NS_PER_US,
            faults_us=faults_ns / NS_PER_US,
            hop_ns=hop_ns,
        )

    def _hop_ns(self) -> float | None:
        if self._hop is None:
            return None
        try:
            return self._hop.read_ns()
        except OSError:
            return None

    def _multiply(self) -> int:
        """What all products take. Beside others that want the same cores that may be a second: then
        as many are made as show it, and count for the others."""
        start = perf_counter_ns()
        for number in range(self._products):
            if number % 2:
                for _ in range(SMALL_FOR_LARGE):
                    np.matmul(self._small_matrix, self._small_matrix, out=self._small_product)
            else:
                np.matmul(self._matrix, self._matrix, out=self._product)
            took_ns = perf_counter_ns() - start
            if took_ns > LONGEST_NS and number + 1 < self._products:
                return round(took_ns * self._products / (number + 1))
        return took_ns

    def _stream(self, passes: int) -> int:
        """From when the first thread began until the last one ended."""
        windows = list(self._pool.map(lambda part: self._copy(part, passes), self._parts))
        return max(end for _, end in windows) - min(start for start, _ in windows)

    def _copy(self, part: list[tuple[Floats, Floats]], passes: int) -> tuple[int, int]:
        self._barrier.wait()
        start = perf_counter_ns()
        for _ in range(passes):
            for target, source in part:
                np.copyto(target, source)
                self._barrier.wait()
        return start, perf_counter_ns()


def _touch_new_pages() -> int:
    """From asking the system for pages until it has them back; the process keeps none of them."""
    start = perf_counter_ns()
    with mmap(-1, NEW_PAGES * PAGESIZE) as pages:
        for offset in range(0, len(pages), PAGESIZE):
            pages[offset] = 1
    return perf_counter_ns() - start


def _in_pieces(target: Floats, source: Floats) -> list[tuple[Floats, Floats]]:
    """The same pieces of both, one for each meeting of the threads."""
    targets = np.array_split(target, MEETINGS)
    sources = np.array_split(source, MEETINGS)
    return list(zip(targets, sources, strict=True))


def products_of(threads: int) -> int:
    """How many large products' work a reading has."""
    return math.ceil(PRODUCTS_A_THREAD * threads)


def gflops_of(compute_us: float, threads: int) -> float:
    """GFLOP/s of a reading. A product of n x n matrices is n^3 multiply-adds of two FLOPs each."""
    flops = products_of(threads) * 2 * MATRIX_SIZE**3
    return flops / compute_us / FLOPS_PER_US_OF_ONE_GFLOPS


def environment_of(threads: int) -> dict[str, str]:
    """What the child has to find in its environment."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def threads_told() -> int:
    """The budget that the environment names; of none, the CPUs that this process may use."""
    told = os.environ.get(THREAD_VARIABLES[0], "")
    if told.isdecimal():
        return max(int(told), 1)
    return len(affinity())


def _hop_probe(threads: int) -> HopProbe | None:
    """Between the cores that the budget belongs on; None for one core, or where none can run."""
    cores = budget(threads, affinity())
    if len(cores) < 2:
        return None
    try:
        return HopProbe(cores)
    except (OSError, AttributeError):
        return None


def serve(canary: Canary, requests: Iterable[str], answer: Callable[[str], None]) -> None:
    """Answer each request, whatever it says, with a reading in one line of JSON."""
    for _ in requests:
        answer(canary.read().model_dump_json())


def main() -> None:
    """A resident (``children/resident.py``) that answers each question with a reading."""
    die_with_parent()
    reply = replier()
    threads = threads_told()
    canary = Canary(threads, _hop_probe(threads))
    canary.read()
    # A collection in the middle of a reading would be taken for a neighbour.
    gc.collect()
    gc.freeze()
    gc.disable()
    serve(canary, questions(), reply)


if __name__ == "__main__":
    main()
