"""Several streams at once: one thread each, timed until the rule ends for all.

Throughput is calls / window: the window is the wall time from the common start to the end of the
last call. A sample is the wall time of one call while the others run, so it says what a request
waits for, and 1 / sample is not the throughput. The calls must release Python's lock while they
work, as every runtime does in its native code; what they hold it for is part of their time, as it
is for any program.

The first stream runs in the caller's thread, where the model was loaded and ran first, because
OpenMP keeps the workers that it started there. Were they to idle beside those of the streams, GNU's
OpenMP would count more threads than cores and stop spinning at its barriers, which makes a small
model on PyTorch four times slower.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from threading import Barrier, BrokenBarrierError, Thread
from time import perf_counter_ns, process_time_ns

from deploybench.measure.loop import Window
from deploybench.measure.recorder import ROWS, Recorder
from deploybench.measure.stopping import WindowRule
from deploybench.telemetry.memory import WindowMemory


def run_streams(
    calls: Sequence[Callable[[], object]],
    prepare: Sequence[Callable[[], object]],
    rule: WindowRule,
    memory: WindowMemory | None = None,
) -> Window:
    """Time each of ``calls`` in a thread of its own, in which its ``prepare`` ran first.

    ``rule`` sees one stream's samples. A stream whose rule has ended goes on until the others'
    have, so that all are timed under the same load; then each ends its running call. The samples of
    all streams are in the order in which they ended. An error in one stream ends all and is raised.
    ``memory`` is told when the window begins and ends.
    """
    if memory is not None:
        memory.begins()
    recorders = [Recorder(2) for _ in calls]  # end and duration of each call
    first_pieces = [recorder.grow() for recorder in recorders]
    counts = [0] * len(calls)
    unfinished = set(range(len(calls)))
    starts: list[tuple[int, int]] = []  # wall and CPU time of the common start: one pair
    errors: list[BaseException] = []

    def begin() -> None:
        starts.append((perf_counter_ns(), process_time_ns()))

    barrier = Barrier(len(calls), action=begin)  # the last stream to be ready starts the clock

    def stream(number: int) -> None:
        # Local names: a look-up less in each turn of the loop. Each stream has a recorder of its
        # own, so that they need no lock.
        call, clock, done, rows = calls[number], perf_counter_ns, rule.done, ROWS
        ends, durations = first_pieces[number]
        samples = 0
        row = 0
        try:
            prepare[number]()
            barrier.wait()
            start = starts[0][0]
            while unfinished:
                before = clock()
                call()
                after = clock()
                ends[row] = after
                durations[row] = after - before
                row += 1
                samples += 1
                counts[number] = samples
                if row == rows:
                    ends, durations = recorders[number].grow()
                    row = 0
                if done(samples, after - start):
                    unfinished.discard(number)
        except BrokenBarrierError:
            return  # another stream has the error
        except BaseException as error:
            errors.append(error)
            unfinished.clear()
            barrier.abort()

    # Off inside the window, as in the loop of one stream.
    threads = [Thread(target=stream, args=(number,)) for number in range(1, len(calls))]

    # No garbage collection inside the window, as in the loop of one stream.
    gc.collect()
    collecting = gc.isenabled()
    gc.disable()
    try:
        for thread in threads:
            thread.start()
        stream(0)
        for thread in threads:
            thread.join()
        cpu_end = process_time_ns()
    finally:
        unfinished.clear()  # an interrupt ends the other streams too
        if collecting:
            gc.enable()
    if errors:
        raise errors[0]
    if memory is not None:
        memory.ends(sum(recorder.held_bytes for recorder in recorders))
    ((start, cpu_start),) = starts
    timed: list[tuple[int, int]] = []
    for recorder, count in zip(recorders, counts, strict=True):
        timed += zip(recorder.column(0, count), recorder.column(1, count), strict=True)
    timed.sort()  # by their ends, whichever stream they are of
    samples = tuple(duration for _, duration in timed)
    ends = tuple(end - start for end, _ in timed)
    return Window(samples, ends, cpu_end - cpu_start)
