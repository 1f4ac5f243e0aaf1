"""What Ray's own idle load does to what is measured on a node: p50 with it and without, paired.

Blocks of calls are timed in turn, with a node of Ray running on this machine and with its processes
stopped (SIGSTOP), so that nothing differs but whether Ray does its housekeeping. A pair is two
blocks that follow each other, in an order that is drawn; the figure is the median of the pairs'
ratios, with its interval. Ray thinks a node dead that is stopped for long, so a block is short
(1 s), and the node is awake for as long after it.

    python -m benchmarks.ray_idle [--pairs 60] [--block 1.0]

Exit code 0 where the interval lies within 1 % on both sides, 1 where it lies outside, 3 where it is
too wide to tell.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from benchmarks.fleet_three_hosts import Nodes
from deploybench.statistics.samples import median, median_interval

ALLOWED = 0.01
SIZE = 256
"""Of the matrices that a call multiplies: 34 MFLOP, about a millisecond, in the caches."""


@dataclass(frozen=True)
class Found:
    """The ratio of p50 with Ray to p50 without, and its 95 % interval."""

    pairs: int
    ratio: float
    low: float
    high: float
    cpu_share: float
    """Of one CPU, what the node's processes took while nothing was asked of them."""

    @property
    def code(self) -> int:
        if self.low >= 1 - ALLOWED and self.high <= 1 + ALLOWED:
            return 0
        if self.low > 1 + ALLOWED or self.high < 1 - ALLOWED:
            return 1
        return 3


def compare(node: Sequence[psutil.Process], pairs: int, block_s: float, seed: int = 0) -> Found:
    """Time blocks with the node's processes awake and asleep."""
    generator = random.Random(seed)
    matrices = np.random.default_rng(seed).random((2, SIZE, SIZE), dtype=np.float32)
    began_s, used_s = time.monotonic(), _cpu_s(node)
    time.sleep(5 * block_s)
    cpu_share = (_cpu_s(node) - used_s) / (time.monotonic() - began_s)
    _block_ms(matrices, block_s)  # warm
    ratios = []
    for _ in range(pairs):
        times = {}
        for awake in generator.sample((True, False), 2):
            with contextlib.nullcontext() if awake else _asleep(node):
                times[awake] = _block_ms(matrices, block_s)
        ratios.append(times[True] / times[False])
        time.sleep(block_s)
    low, high = _interval(ratios)
    return Found(pairs, median(ratios), low, high, cpu_share)


def _interval(ratios: Sequence[float]) -> tuple[float, float]:
    interval = median_interval(ratios)
    if interval is None:
        return min(ratios), max(ratios)
    return interval.low, interval.high


def _block_ms(matrices: np.ndarray, seconds: float) -> float:
    """The median of calls for so long, in ms."""
    times = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        matrices[0] @ matrices[1]
        times.append(1e3 * (time.perf_counter() - start))
    return float(np.median(times))


@contextlib.contextmanager
def _asleep(node: Sequence[psutil.Process]) -> Iterator[None]:
    _signal(node, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(node, signal.SIGCONT)


def _signal(node: Sequence[psutil.Process], number: int) -> None:
    for process in node:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _cpu_s(node: Sequence[psutil.Process]) -> float:
    total = 0.0
    for process in node:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--block", type=float, default=1.0)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
    try:
        with Nodes(folder) as nodes:
            nodes.join("host")
            node = []
            for number in nodes.processes.values():
                leader = psutil.Process(number)
                node += [leader, *leader.children(recursive=True)]
            time.sleep(10.0)  # what starts has to come to rest
            found = compare(node, asked.pairs, asked.block)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"p50 with Ray over p50 without: {found.ratio:.4f} ({found.low:.4f} to {found.high:.4f}), "
        f"{found.pairs} pairs; its processes took {100 * found.cpu_share:.1f} % of a CPU"
    )
    sys.exit(found.code)


if __name__ == "__main__":
    main()
