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

from deploybench.measure.recorder import ROWS, Recorder
from deploybench.measure.stopping import WindowRule
from deploybench.telemetry.memory import WindowMemory

NS_PER_MS = 1_000_000
NS_PER_S = 1e9
USER_S, SYSTEM_S, MINOR_FAULTS, INVOLUNTARY_SWITCHES = 0, 1, 6, 15
"""Where these fields stand in getrusage's tuple."""
COLUMNS = 5
SAMPLES, ENDS, CPU_TIMES, SWITCHES, DEVICE = range(COLUMNS)
"""What the recorder's columns hold: of CPU time and switches the counters as they were read."""

try:
    from resource import RUSAGE_SELF, getrusage
except ImportError:  # Windows
    getrusage = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Window:
    """Raw samples in order of their ends. All in ns, but the switches.

    ``ends_ns`` are since the window began, ``cpu_ns`` is the CPU time of all threads of this
    process. What belongs to single samples is empty where it cannot be told: several streams at
    once, no getrusage, no device. ``faults`` are the page faults of the whole window that no disk
    was read for.
    """

    samples_ns: tuple[int, ...]
    ends_ns: tuple[int, ...]
    cpu_ns: int
    sample_cpu_ns: tuple[int, ...] = ()
    sample_switches: tuple[int, ...] = ()
    device_ns: tuple[int, ...] = ()
    faults: int | None = None

    def followed_by(self, later: Window) -> Window:
        """This window and one that was timed right after it as one."""
        return Window(
            self.samples_ns + later.samples_ns,
            self.ends_ns + tuple(self.ends_ns[-1] + end for end in later.ends_ns),
            self.cpu_ns + later.cpu_ns,
            self.sample_cpu_ns + later.sample_cpu_ns,
            self.sample_switches + later.sample_switches,
            self.device_ns + later.device_ns,
            None if self.faults is None or later.faults is None else self.faults + later.faults,
        )

    def wall_ns(self, cut: int = 0) -> int:
        """Wall time from the end of the first ``cut`` samples to the end of the last."""
        start = 0
        if cut > 0:
            start = self.ends_ns[cut - 1]
        return self.ends_ns[-1] - start


def run_window(
    call: Callable[[], object],
    rule: WindowRule,
    device_ms: Callable[[], float] | None = None,
    memory: WindowMemory | None = None,
) -> Window:
    """Time ``call`` until ``rule`` ends the window.

    ``device_ms`` tells what the last call took on the device. ``memory`` is told when the window
    begins and, while nothing has been made of its samples yet, when it ends.
    """
    if memory is not None:
        memory.begins()
    recorder = Recorder(COLUMNS)
    samples, ends, cpu_times, switches, device = recorder.grow()
    row = 0
    count = 0

    # Local names spare the loop a look-up each; it is the harness's own cost beside every call.
    clock, usage, done, rows = perf_counter_ns, _usage, rule.done, ROWS

    # What earlier work left is collected now, so that none of it is in a sample.
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        cpu_start = process_time_ns()
        first_usage = usage()
        start = clock()
        while True:
            before = clock()
            call()
            after = clock()
            # The timed span ends here; what follows lies between two samples.
            reading = usage()
            if reading:
                cpu_times[row] = round((reading[USER_S] + reading[SYSTEM_S]) * NS_PER_S)
                switches[row] = int(reading[INVOLUNTARY_SWITCHES])
            if device_ms is not None:
                device[row] = round(device_ms() * NS_PER_MS)
            samples[row] = after - before
            ends[row] = after - start
            row += 1
            count += 1
            if done(count, after - start):
                break
            if row == rows:
                samples, ends, cpu_times, switches, device = recorder.grow()
                row = 0
        cpu = process_time_ns() - cpu_start
    finally:
        if collecting:
            gc.enable()
    if memory is not None:
        memory.ends(recorder.held_bytes)
    sample_cpu_ns: tuple[int, ...] = ()
    sample_switches: tuple[int, ...] = ()
    faults = None
    if first_usage:
        first_cpu_ns = round((first_usage[USER_S] + first_usage[SYSTEM_S]) * NS_PER_S)
        sample_cpu_ns = _increases(first_cpu_ns, recorder.column(CPU_TIMES, count))
        first_switches = int(first_usage[INVOLUNTARY_SWITCHES])
        sample_switches = _increases(first_switches, recorder.column(SWITCHES, count))
        faults = int(reading[MINOR_FAULTS] - first_usage[MINOR_FAULTS])
    device_ns: tuple[int, ...] = ()
    if device_ms is not None:
        device_ns = tuple(recorder.column(DEVICE, count))
    return Window(
        samples_ns=tuple(recorder.column(SAMPLES, count)),
        ends_ns=tuple(recorder.column(ENDS, count)),
        cpu_ns=cpu,
        sample_cpu_ns=sample_cpu_ns,
        sample_switches=sample_switches,
        device_ns=device_ns,
        faults=faults,
    )


def _usage() -> tuple[float, ...]:
    """getrusage of this process, all threads; empty where there is none."""
    return getrusage(RUSAGE_SELF) if getrusage is not None else ()


def _increases(first: int, readings: list[int]) -> tuple[int, ...]:
    """What a counter grew by from one reading to the next, the first one after ``first``."""
    return tuple(after - before for before, after in itertools.pairwise([first, *readings]))
