"""The timed loop.

A sample is the wall time of one call by ``perf_counter_ns``. Between two calls, outside the timed
span, the loop reads the CPU time and the involuntary context switches of this process (getrusage: 1
us), so that a sample can be told from a disturbed one, and the time that the device took for the
call by its own clock, where it tells that. Throughput is items / wall time of the window, these
readings included. The cyclic garbage collector is off inside the window, as in ``timeit``. Nothing
is trimmed.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns, process_time_ns

from deploybench.measure.stopping import WindowRule

NS_PER_MS = 1_000_000

try:
    from resource import RUSAGE_SELF, getrusage
except ImportError:  # Windows
    getrusage = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Window:
    """Raw samples in order of their ends. All in ns, but the switches.

    ``ends_ns`` are since the window began, ``cpu_ns`` is the CPU time of all threads of this
    process. What belongs to single samples is empty where it cannot be told: several streams at
    once, no getrusage, no device.
    """

    samples_ns: tuple[int, ...]
    ends_ns: tuple[int, ...]
    cpu_ns: int
    sample_cpu_ns: tuple[int, ...] = ()
    sample_switches: tuple[int, ...] = ()
    device_ns: tuple[int, ...] = ()

    def followed_by(self, later: Window) -> Window:
        """This window and one that was timed right after it as one."""
        return Window(
            self.samples_ns + later.samples_ns,
            self.ends_ns + tuple(self.ends_ns[-1] + end for end in later.ends_ns),
            self.cpu_ns + later.cpu_ns,
            self.sample_cpu_ns + later.sample_cpu_ns,
            self.sample_switches + later.sample_switches,
            self.device_ns + later.device_ns,
        )

    def wall_ns(self, cut: int = 0) -> int:
        """Wall time from the end of the first ``cut`` samples to the end of the last."""
        return self.ends_ns[-1] - (self.ends_ns[cut - 1] if cut else 0)


def run_window(
    call: Callable[[], object], rule: WindowRule, device_ms: Callable[[], float] | None = None
) -> Window:
    """Time ``call`` until ``rule`` ends the window.

    ``device_ms`` tells what the last call took on the device.
    """
    samples: list[int] = []
    ends: list[int] = []
    usages: list[tuple[float, ...]] = []
    device: list[float] = []
    add_sample, add_end, add_usage = samples.append, ends.append, usages.append
    clock, usage, done = perf_counter_ns, _usage, rule.done
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        cpu_start = process_time_ns()
        add_usage(usage())
        start = clock()
        while True:
            before = clock()
            call()
            after = clock()
            add_usage(usage())
            if device_ms is not None:
                device.append(device_ms())
            add_sample(after - before)
            add_end(after - start)
            if done(len(samples), after - start):
                break
        cpu = process_time_ns() - cpu_start
    finally:
        if collecting:
            gc.enable()
    device_ns = tuple(round(ms * NS_PER_MS) for ms in device)
    return Window(tuple(samples), tuple(ends), cpu, *_by_sample(usages), device_ns)


def _usage() -> tuple[float, ...]:
    """getrusage of this process, all threads; empty where there is none."""
    return getrusage(RUSAGE_SELF) if getrusage is not None else ()


def _by_sample(usages: list[tuple[float, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPU ns and involuntary context switches between neighbouring readings (fields 0, 1 and 15 of
    getrusage)."""
    if not usages[0]:
        return (), ()
    pairs = list(itertools.pairwise(usages))
    cpu = tuple(
        round((after[0] + after[1] - before[0] - before[1]) * 1e9) for before, after in pairs
    )
    return cpu, tuple(int(after[15] - before[15]) for before, after in pairs)
