"""Processes that take a part of this machine, each of a kind, for as long as they are wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from deploybench.children.environment import without_cleared

HALF_OF_A_CORE = """
import os, sys, time
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    time.sleep(0.01)
"""
ALL_OF_A_CORE = """
import os, sys
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    pass
"""
MEMORY = """
import numpy
source = numpy.ones(32 << 20)
target = numpy.empty_like(source)
while True:
    numpy.copyto(target, source)
"""
VECTORS = """
import numpy
matrix = numpy.ones((256, 256), numpy.float32)
while True:
    matrix @ matrix
"""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Neighbour:
    """What it does, its program, and whether there is one on every core."""

    title: str
    program: str
    every_core: bool = False


NEIGHBOURS = {
    "half": Neighbour("half of one core", HALF_OF_A_CORE),
    "both": Neighbour("every core, all of it", ALL_OF_A_CORE, every_core=True),
    "memory": Neighbour("copies of 256 MiB, one thread", MEMORY),
    "vector": Neighbour("matrix products, one thread", VECTORS),
}


@contextmanager
def neighbour(name: str) -> Iterator[None]:
    """Neighbours of that kind while this lasts."""
    wanted = NEIGHBOURS[name]
    cores = _cores()
    if not wanted.every_core:
        cores = cores[:1]
    environment = {**without_cleared(os.environ), **ONE_THREAD}
    children = []
    try:
        for core in cores:
            command = [sys.executable, "-c", wanted.program, str(core)]
            children.append(subprocess.Popen(command, env=environment))
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def _cores() -> Sequence[int]:
    """The numbers of the CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)
