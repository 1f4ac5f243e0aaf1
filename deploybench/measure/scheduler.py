"""Rounds of launches: every cell once a round, in random order, each in a fresh process.

Interleaving spreads a change of the machine over all cells instead of giving it to one; a speed-up
is then paired by round. Whoever is asked whether a cell wants more decides what a failure means.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploybench.children.processes import ChildOutcome, run_child, run_forked
from deploybench.contracts.registry import runners
from deploybench.documents import now
from deploybench.hardware.devices import BUS_ORDER
from deploybench.measure.job import Job
from deploybench.measure.process_options import environment_of
from deploybench.results.launch import Launch
from deploybench.stacks.stack import interpreter_of

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
    """Launch, round by round, every job that wants more; yield each launch as it ends.

    ``wants_more`` is asked for each job when a round begins. ``start`` is told (index, round)
    before each launch. ``launch`` does one; by default in a fresh process.
    """
    if launch is None:
        launch = run_job
    generator = random.Random(seed)
    alive = list(range(len(jobs)))
    number = 0
    while alive := [index for index in alive if wants_more(index)]:
        shuffled = generator.sample(alive, len(alive))
        for position, index in enumerate(shuffled):
            start(index, number)
            launched = launch(jobs[index])
            yield Finished(index, launched.replaced(round=number, order=position))
        number += 1


def verify(job: Job, *, preload: Sequence[str]) -> Launch:
    """One launch that is not timed, in a process forked from a server.

    The server has imported the modules of ``preload``, which saves their import.
    """
    outcome = run_forked(WORKER, job.model_dump_json(), preload=preload, time_limit_s=SETUP_LIMIT_S)
    return _launch_of(outcome)


def run_job(job: Job) -> Launch:
    """One launch in a fresh process; a crash or a hang is a launch with its cause."""
    started = now()
    # The windows may take up to the job's limit; what surrounds them is allowed as long again.
    limit_s = SETUP_LIMIT_S + 2 * job.limit_s
    environment = worker_environment(job)
    spawned_ns = time.monotonic_ns()
    request = job.replaced(spawned_ns=spawned_ns).model_dump_json()
    outcome = run_child(
        WORKER,
        request,
        time_limit_s=limit_s,
        environment=environment,
        cpus=job.pin,
        interpreter=interpreter_of(job.stack),
    )
    seconds = (time.monotonic_ns() - spawned_ns) / 1e9
    return _launch_of(outcome).replaced(started=started, seconds=seconds)


def worker_environment(job: Job) -> dict[str, str]:
    """What a worker's environment says of its threads, devices and process options, and what its
    runner asks for."""
    threads = str(job.threads)
    own: Mapping[str, str] = {}
    entry = runners().get(job.runner)
    if entry is not None and entry.plugin is not None:
        own = entry.plugin.environment
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        **BUS_ORDER,
        **own,
        **environment_of(job.run_options),
    }


def _launch_of(outcome: ChildOutcome) -> Launch:
    """What the worker replied; a launch with the cause where it could not."""
    if outcome.reply is None:
        return Launch(error=outcome.error or "the worker said nothing")
    return Launch.model_validate_json(outcome.reply)
