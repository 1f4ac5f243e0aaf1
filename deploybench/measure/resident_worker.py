"""The resident worker: a process that loads one artifact, proves it, rests, and is visited.

Its first answer is the launch, with one short window of calls in which they settle. Each further
question is a :class:`VisitRequest`, or ``MEMORY`` for the memory of all windows so far. Run by the
parent as ``python -m deploybench.measure.resident_worker``.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns, perf_counter_ns

from deploybench.artifacts.artifact import open_artifact
from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier
from deploybench.contracts.registry import runner
from deploybench.documents import Document
from deploybench.measure.calls import Call
from deploybench.measure.compact import histogram_of
from deploybench.measure.concurrent import run_streams
from deploybench.measure.job import Job
from deploybench.measure.loop import Window, run_window
from deploybench.measure.preparing import Ready, prepared, timed_launch
from deploybench.measure.proof import failure_of
from deploybench.measure.stopping import WindowRule
from deploybench.measure.timed import FEWEST_RESOLUTIONS
from deploybench.results.launch import Histogram, Launch
from deploybench.statistics.samples import median
from deploybench.telemetry.energy import EnergyMeter, Unavailable, open_meter
from deploybench.telemetry.gpu import core_clock

NS_PER_S = 1_000_000_000
MEMORY = "memory"
UNTIMED_NS = 25_000_000
"""Calls before the clock, for so long and at least one, bring back the caches and the clock of a
processor that rested. The third to tenth call of a model of 2.5 ms still took 1 to 3 % longer."""
UNTIMED_CALLS = 2
"""Of each of several streams, within their window."""
MOST_RAW = 256
"""Samples of a visit; of more a histogram is kept."""


class VisitRequest(Document):
    """How long to look. At least one call is timed; after ``limit_ns`` no other one begins."""

    duration_ns: int
    limit_ns: int
    raw: bool = False


class VisitReply(Document):
    """What the visit showed; each field is documented at :class:`Visit`. ``error``: it broke."""

    samples_ns: tuple[int, ...] = ()
    histogram: Histogram | None = None
    window_ns: int = 0
    cpu_ns: int = 0
    switches: int | None = None
    faults: int | None = None
    clock_mhz: int | None = None
    device_ns: float | None = None
    joules: float | None = None
    error: str | None = None


def main() -> None:
    """Answer the questions on standard input until there are no more."""
    began_ns = monotonic_ns()
    die_with_parent()
    reply = replier()
    asked = questions()
    job = Job.model_validate_json(next(asked))
    start_s = None
    if job.spawned_ns is not None:
        start_s = (began_ns - job.spawned_ns) / NS_PER_S
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        plugin = runner(job.runner).require()
        with prepared(job, artifact, plugin, start_s) as ready:
            if not ready.holds:
                reply(ready.launch.model_dump_json())
                return
            reply(timed_launch(job, ready).model_dump_json())
            # What lives now lives on: a collection before each visit need not look at it again.
            gc.collect()
            gc.freeze()
            _answer(job, ready, asked, reply)
            _leave()  # without the runtimes' own tear-down, in which some crash
    except Exception as error:  # a runtime may raise anything; the row carries its words
        failure = failure_of(error)
        reply(Launch(refused=failure.refused, error=failure.error).model_dump_json())


def _answer(job: Job, ready: Ready, asked: Iterator[str], reply: Callable[[str], None]) -> None:
    """Visits until nobody asks; what a runtime raises in one is its answer."""
    with ExitStack() as stack:
        meter = open_meter(job.device)
        energy: EnergyMeter | None = None
        if not isinstance(meter, Unavailable):
            energy = stack.enter_context(meter)
        clock_mhz = stack.enter_context(core_clock(job.device))
        for question in asked:
            if question == MEMORY:
                reply(ready.memory().model_dump_json())
                continue
            try:
                answer = _visit(ready, VisitRequest.model_validate_json(question), energy)
                # At once: a GPU at rest lowers its clock.
                answer = answer.replaced(clock_mhz=clock_mhz())
            except Exception as error:
                answer = VisitReply(error=failure_of(error).error or str(error))
            reply(answer.model_dump_json())


def _visit(ready: Ready, request: VisitRequest, energy: EnergyMeter | None) -> VisitReply:
    """Some calls that are not timed, then one window."""
    rule = WindowRule(min_samples=1, duration_ns=request.duration_ns, limit_ns=request.limit_ns)
    if len(ready.calls) > 1:
        return _reply(_of_streams(ready, rule), request, None)
    call = ready.calls[0]
    _untimed(call)
    before_j = 0.0 if energy is None else energy.read_j()
    window = run_window(call.run, rule, call.device_ms, ready.watch)
    joules = None
    # A counter that moved a few times only is off by up to one of its steps at either end.
    if energy is not None and window.wall_ns() > FEWEST_RESOLUTIONS * energy.resolution_s * 1e9:
        joules = energy.between(before_j, energy.read_j()).joules
    return _reply(window, request, joules)


def _of_streams(ready: Ready, rule: WindowRule) -> Window:
    """One window of all streams, without the first calls of each.

    They run in threads that live as long as the window, so that these calls lie within it.
    """
    untimed = UNTIMED_CALLS * len(ready.calls)
    longer = replace(rule, min_samples=UNTIMED_CALLS + 1)
    window = run_streams(
        [call.run for call in ready.calls], ready.preparations, longer, ready.watch
    )
    start_ns = window.ends_ns[untimed - 1]
    # CPU time is known of the whole window only; the part that counts gets its share.
    share = window.wall_ns(untimed) / window.wall_ns()
    return Window(
        samples_ns=window.samples_ns[untimed:],
        ends_ns=tuple(end - start_ns for end in window.ends_ns[untimed:]),
        cpu_ns=round(window.cpu_ns * share),
    )


def _reply(window: Window, request: VisitRequest, joules: float | None) -> VisitReply:
    samples: tuple[int, ...] = window.samples_ns
    histogram = None
    if len(samples) > MOST_RAW and not request.raw:
        histogram = histogram_of(samples)
        samples = ()
    switches = None
    if window.sample_switches:
        switches = sum(window.sample_switches)
    device_ns = None
    if window.device_ns:
        device_ns = median(window.device_ns)
    return VisitReply(
        samples_ns=samples,
        histogram=histogram,
        window_ns=window.wall_ns(),
        cpu_ns=window.cpu_ns,
        switches=switches,
        faults=window.faults,
        device_ns=device_ns,
        joules=joules,
    )


def _untimed(call: Call) -> None:
    end = perf_counter_ns() + UNTIMED_NS
    call.run()
    while perf_counter_ns() < end:
        call.run()


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
