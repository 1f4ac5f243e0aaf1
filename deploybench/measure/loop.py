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
NS_PER_S = 1e9
USER_S, SYSTEM_S, INVOLUNTARY_SWITCHES = 0, 1, 15
"""Where these fields stand in getrusage's tuple."""

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
        start = 0
        if cut > 0:
            start = self.ends_ns[cut - 1]
        return self.ends_ns[-1] - start


def run_window(
    call: Callable[[], object], rule: WindowRule, device_ms: Callable[[], float] | None = None
) -> Window:
    """Time ``call`` until ``rule`` ends the window.

    ``device_ms`` tells what the last call took on the device.
    """
    samples: list[int] = []
    ends: list[int] = []
    usages: list[tuple[float, ...]] = []  # one more than samples: before the first, after each
    device: list[float] = []

    # Local names spare the loop a look-up each; it is the harness's own cost beside every call.
    add_sample, add_end, add_usage = samples.append, ends.append, usages.append
    clock, usage, done = perf_counter_ns, _usage, rule.done

    # What earlier work left is collected now, so that none of it is in a sample.
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
            # The timed span ends here; what follows lies between two samples.
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
    sample_cpu_ns, sample_switches = _by_sample(usages)
    return Window(
        samples_ns=tuple(samples),
        ends_ns=tuple(ends),
        cpu_ns=cpu,
        sample_cpu_ns=sample_cpu_ns,
        sample_switches=sample_switches,
        device_ns=tuple(round(ms * NS_PER_MS) for ms in device),
    )


def _usage() -> tuple[float, ...]:
    """getrusage of this process, all threads; empty where there is none."""
    return getrusage(RUSAGE_SELF) if getrusage is not None else ()


def _by_sample(usages: list[tuple[float, ...]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """CPU ns and involuntary context switches between neighbouring readings of getrusage."""
    if not usages[0]:
        return (), ()
    cpu_ns = []
    switches = []
    for before, after in itertools.pairwise(usages):
        cpu_s = after[USER_S] + after[SYSTEM_S] - before[USER_S] - before[SYSTEM_S]
        cpu_ns.append(round(cpu_s * NS_PER_S))
        switches.append(int(after[INVOLUNTARY_SWITCHES] - before[INVOLUNTARY_SWITCHES]))
    return tuple(cpu_ns), tuple(switches)
