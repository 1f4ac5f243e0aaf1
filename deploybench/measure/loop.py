"""The timed loop.

A sample is the wall time of one call, from host inputs to host outputs, by ``perf_counter_ns``.
The window is the wall time from before its first sample to after its last; throughput is items / window.
The cyclic garbage collector is off inside the window, as in ``timeit``. Nothing is trimmed.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns

from deploybench.measure.stopping import WindowRule


@dataclass(frozen=True)
class Window:
    """Raw samples in order with the wall and CPU time (all threads of this process) of the whole window, in ns."""

    samples_ns: tuple[int, ...]
    wall_ns: int
    cpu_ns: int


def run_window(call: Callable[[], object], rule: WindowRule) -> Window:
    """Time ``call`` until ``rule`` ends the window."""
    samples: list[int] = []
    append, clock, done = samples.append, perf_counter_ns, rule.done
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        cpu_start = process_time_ns()
        start = clock()
        while True:
            before = clock()
            call()
            after = clock()
            append(after - before)
            if done(len(samples), after - start):
                break
        wall = clock() - start
        cpu = process_time_ns() - cpu_start
    finally:
        if collecting:
            gc.enable()
    return Window(tuple(samples), wall, cpu)
