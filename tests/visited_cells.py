"""Visits of made-up cells, for tests of what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.results.visit import CanaryBest, CanaryReading, Visit
from tests import records

Floats = npt.NDArray[np.float64]

BEST = CanaryBest(threads=2, compute_us=4000, memory_us=1000, runs=3)
MS = 1_000_000
CALLS = 12
FULL_SPEED = 1.0


NEAR_NS, FAR_NS = 65.0, 160.0
"""The hops of a machine whose two cores share a cache at one time and do not at another."""
BOTH_STATES = BEST.replaced(hop_ns=NEAR_NS, others=(BEST.replaced(hop_ns=FAR_NS, compute_us=4800),))


def reading(delivered: float, hop_ns: float | None = None) -> CanaryReading:
    """What the canary took while the machine delivered that share of its speed."""
    compute_us = BOTH_STATES.in_state(hop_ns).compute_us / delivered
    return CanaryReading(compute_us=compute_us, memory_us=1000 / delivered, hop_ns=hop_ns)


def visits(
    medians_ms: Sequence[float] | Floats,
    delivered: Sequence[float] | Floats | None = None,
    processes: int = 2,
    hops_ns: Sequence[float | None] | None = None,
) -> list[Visit]:
    """One visit a round, of processes that take turns; without ``delivered`` no canary was read.

    ``hops_ns`` has one entry a visit: the state of the machine.
    """
    made = []
    for number, median_ms in enumerate(medians_ms):
        # Around the median, so that percentiles have something to tell.
        samples = [median_ms * (1 + 0.002 * (call - (CALLS - 1) / 2)) for call in range(CALLS)]
        samples_ns = tuple(round(sample * MS) for sample in samples)
        canary = None
        if delivered is not None:
            hop_ns = None if hops_ns is None else hops_ns[number]
            canary = reading(float(delivered[number]), hop_ns)
        made.append(
            Visit(
                round=number,
                order=0,
                process=number % processes,
                at_s=0.3 * number,
                samples_ns=samples_ns,
                window_ns=sum(samples_ns),
                cpu_ns=2 * sum(samples_ns),
                before=canary,
                after=canary,
            )
        )
    return made


def contended(generator: np.random.Generator, count: int, calm: float, slowest: float) -> Floats:
    """Shares that a machine delivers: all of its speed now and then, else less."""
    shares = np.where(generator.random(count) < calm, 1.0, generator.uniform(slowest, 0.9, count))
    return np.asarray(shares)


def times_ms(
    generator: np.random.Generator,
    delivered: Floats,
    undisturbed_ms: float = 10.0,
    slope: float = -1.0,
    noise: float = 0.01,
) -> Floats:
    """What visits take beside what the machine delivered."""
    logs = math.log(undisturbed_ms) + slope * np.log(delivered)
    return np.asarray(np.exp(logs + generator.normal(0, noise, len(delivered))))


def record(
    made: Sequence[Visit],
    *,
    canary: CanaryBest | None = BEST,
    launches: Sequence[Launch] | None = None,
    **changes: object,
) -> Record:
    """The record of a cell that was visited; ``changes`` are those of the cell."""
    if launches is None:
        processes = {visit.process for visit in made}
        launches = [records.launch([10.0] * 20, number=number) for number in sorted(processes)]
    bare = records.record(launches, **changes)  # type: ignore[arg-type]
    summary = summarise(launches, bare.cell.batch, made, canary)
    judgement = judge(launches, summary, "deploybench run")
    return bare.replaced(visits=tuple(made), canary=canary, summary=summary, judgement=judgement)
