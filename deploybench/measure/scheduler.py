"""Rounds of launches: every cell once a round, in random order, each in a fresh process.

Interleaving spreads a change of the machine over all cells instead of giving it to one; a speed-up
is then paired by round. A cell whose launch fails or is invalid is not launched again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from deploybench.measure.job import Job
from deploybench.processes import run_child, run_forked
from deploybench.results import Launch

WORKER = "deploybench.measure.worker"
SETUP_LIMIT_S = 900.0
"""Loading may compile: TorchInductor took 46 s for an EfficientNet-B0 on two cores."""


@dataclass(frozen=True)
class Finished:
    """One launch of the cell with that index in the list of jobs."""

    index: int
    launch: Launch


def run_rounds(
    jobs: Sequence[Job], rounds: int, seed: int, *, start: Callable[[int, int], None] = lambda index, number: None
) -> Iterator[Finished]:
    """Launch every job once a round and yield each launch as it ends; ``start`` is told (index, round) before."""
    generator = random.Random(seed)
    alive = list(range(len(jobs)))
    for number in range(rounds):
        order = generator.sample(alive, len(alive))
        for position, index in enumerate(order):
            start(index, number)
            launch = run_job(jobs[index]).model_copy(update={"round": number, "order": position})
            if not launch.measured:
                alive.remove(index)
            yield Finished(index, launch)


def verify(job: Job, *, preload: Sequence[str]) -> Launch:
    """One launch that is not timed, in a process forked from a server that has imported ``preload``."""
    outcome = run_forked(WORKER, job.model_dump_json(), preload=preload, time_limit_s=SETUP_LIMIT_S)
    if outcome.reply is None:
        return Launch(error=outcome.error or "the worker said nothing")
    return Launch.model_validate_json(outcome.reply)


def run_job(job: Job) -> Launch:
    """One launch in a fresh process; a crash or a hang is a launch with its cause."""
    started = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    limit = SETUP_LIMIT_S + 2 * job.limit_s
    environment = {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    outcome = run_child(WORKER, job.model_dump_json(), time_limit_s=limit, environment=environment)
    if outcome.reply is None:
        return Launch(started=started, error=outcome.error or "the worker said nothing")
    return Launch.model_validate_json(outcome.reply).model_copy(update={"started": started})
