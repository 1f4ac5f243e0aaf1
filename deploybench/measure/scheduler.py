"""Rounds of launches: every cell once a round, in random order, each in a fresh process.

Interleaving spreads a change of the machine over all cells instead of giving it to one; a speed-up
is then paired by round. Whoever is asked whether a cell wants more decides what a failure means.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from deploybench.documents import now
from deploybench.hardware.devices import BUS_ORDER
from deploybench.measure.job import Job
from deploybench.processes import run_child, run_forked
from deploybench.results.launch import Launch

WORKER = "deploybench.measure.worker"
SETUP_LIMIT_S = 900.0
"""Loading may compile: TorchInductor took 46 s for an EfficientNet-B0 on two cores."""


@dataclass(frozen=True)
class Finished:
    """One launch of the cell with that index in the list of jobs."""

    index: int
    launch: Launch


def run_rounds(
    jobs: Sequence[Job],
    wants_more: Callable[[int], bool],
    seed: int,
    *,
    start: Callable[[int, int], None] = lambda index, number: None,
    launch: Callable[[Job], Launch] | None = None,
) -> Iterator[Finished]:
    """Launch, round by round, every job that ``wants_more`` at the round's start; yield each launch
    as it ends.

    ``start`` is told (index, round) before each launch. ``launch`` does one; by default in a fresh
    process.
    """
    generator = random.Random(seed)
    alive = list(range(len(jobs)))
    number = 0
    while alive := [index for index in alive if wants_more(index)]:
        for position, index in enumerate(generator.sample(alive, len(alive))):
            start(index, number)
            done = (launch or run_job)(jobs[index]).replaced(round=number, order=position)
            yield Finished(index, done)
        number += 1


def verify(job: Job, *, preload: Sequence[str]) -> Launch:
    """One launch that is not timed, in a process forked from a server that has imported
    ``preload``."""
    outcome = run_forked(WORKER, job.model_dump_json(), preload=preload, time_limit_s=SETUP_LIMIT_S)
    if outcome.reply is None:
        return Launch(error=outcome.error or "the worker said nothing")
    return Launch.model_validate_json(outcome.reply)


def run_job(job: Job) -> Launch:
    """One launch in a fresh process; a crash or a hang is a launch with its cause."""
    started = now()
    limit = SETUP_LIMIT_S + 2 * job.limit_s
    environment = {
        "OMP_NUM_THREADS": str(job.threads),
        "MKL_NUM_THREADS": str(job.threads),
        **BUS_ORDER,
    }
    spawned_ns = time.monotonic_ns()
    request = job.replaced(spawned_ns=spawned_ns).model_dump_json()
    outcome = run_child(WORKER, request, time_limit_s=limit, environment=environment)
    seconds = (time.monotonic_ns() - spawned_ns) / 1e9
    if outcome.reply is None:
        return Launch(
            started=started, seconds=seconds, error=outcome.error or "the worker said nothing"
        )
    launch = Launch.model_validate_json(outcome.reply)
    return launch.replaced(started=started, seconds=seconds)
