"""The best that the canary ever took on this host: what its delivered speed is a share of.

Within one run it cannot be known: others may take a part of the machine for all of the run, and
everything then looks calm. So each run leaves its best, and the least of all runs counts.

- *The best of a run* is a low percentile of its readings, of each piece of work for itself. A
  single fastest reading is luck, so the readings are those of a few seconds each
  (:meth:`deploybench.telemetry.trace.Trace.smoothed`).
- *The best of all runs* is the least of theirs, because what others take only makes it slower. One
  run may all the same have been faster than any other ever will (a processor that was cold, another
  host behind the same name), and must not make every later one look disturbed for ever. It is
  outvoted, and counts as 3 % below the second least, where the next four agree with each other
  within 3 % and were made over three days or more. Runs that others slowed do not agree so well
  and for so long; until then the odd one may be the only calm one, and counts.
- *The run at hand* always counts for itself: it is never compared with a worse best than its own.

A run of few readings leaves nothing: its low percentile is no low one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field

from deploybench.hardware.host import Host
from deploybench.results.visit import CanaryBest, CanaryReading, lesser_known
from deploybench.statistics.adjust import FARTHEST_CALM
from deploybench.statistics.samples import median
from deploybench.telemetry.canary import METHOD
from deploybench.telemetry.remembered import RememberedRun, cache_path, read_runs, write_runs

LOW_SHARE = 0.1
"""Of the readings of a run that are faster than what counts as its best. A lower one would be
what the readings scatter by."""
FEWEST_READINGS = 20
FEWEST_TO_OUTVOTE = 4
SHORTEST_AGREEMENT = timedelta(days=3)
FARTHEST_APART = 1.03
"""Of calm runs from each other."""
CONFIRMED = 1.02
"""Of the best from that of the next run: as wide as the interval of a VALID time may be."""


class CanaryRun(RememberedRun):
    """The best of one run."""

    compute_us: float = Field(gt=0, allow_inf_nan=False)
    memory_us: float = Field(gt=0, allow_inf_nan=False)
    faults_us: float | None = Field(None, gt=0, allow_inf_nan=False)
    readings: int


def remembered(host: Host, threads: int) -> CanaryBest | None:
    """The best of all runs before this one; None where nothing is known."""
    return best_of_runs(read_runs(_path(host, threads), CanaryRun), threads)


def remember(host: Host, threads: int, readings: Sequence[CanaryReading]) -> CanaryBest:
    """Keep what this run found, at its end; the best of it and of all before.

    Raises ValueError where there are neither readings nor earlier runs.
    """
    path = _path(host, threads)
    before = read_runs(path, CanaryRun)
    if len(readings) >= FEWEST_READINGS:
        own = low_of(readings)
        this_run = CanaryRun(
            compute_us=own.compute_us,
            memory_us=own.memory_us,
            faults_us=own.faults_us,
            readings=len(readings),
        )
        runs = (*before, this_run)
        write_runs(path, runs, _two_fastest(runs))
    return best_of(best_of_runs(before, threads), readings, threads)


def best_of(
    before: CanaryBest | None, readings: Sequence[CanaryReading], threads: int
) -> CanaryBest:
    """The best of the runs before and of this one, as far as it has come.

    Raises ValueError where there are neither.
    """
    if not readings:
        if before is None:
            raise ValueError("nothing is known of the canary: there are no readings")
        return before
    own = low_of(readings)
    if before is None:
        return CanaryBest(
            threads=threads,
            compute_us=own.compute_us,
            memory_us=own.memory_us,
            faults_us=own.faults_us,
            runs=1,
            of_this_run=own,
        )
    return CanaryBest(
        threads=threads,
        compute_us=min(before.compute_us, own.compute_us),
        memory_us=min(before.memory_us, own.memory_us),
        faults_us=lesser_known(before.faults_us, own.faults_us),
        runs=before.runs + 1,
        of_this_run=own,
        second_us=_second_us(before, own),
    )


def _second_us(before: CanaryBest, own: CanaryReading) -> float:
    """The arithmetic of the run that came second, once this one is among them."""
    ahead_us = min(before.compute_us, own.compute_us)
    behind_us = max(before.compute_us, own.compute_us)
    if before.second_us is not None and own.compute_us > ahead_us:
        return min(behind_us, before.second_us)
    return behind_us


def best_of_runs(runs: Sequence[CanaryRun], threads: int) -> CanaryBest | None:
    """What counts of some runs, in whatever order; None of none."""
    if not runs:
        return None
    return CanaryBest(
        threads=threads,
        compute_us=_least([(run.compute_us, run.at) for run in runs]),
        memory_us=_least([(run.memory_us, run.at) for run in runs]),
        faults_us=_least_known(runs),
        runs=len(runs),
        second_us=sorted(run.compute_us for run in runs)[1] if len(runs) > 1 else None,
    )


def low_of(readings: Sequence[CanaryReading]) -> CanaryReading:
    """What a run knows of the machine at its best.

    Of the arithmetic and of new pages the low percentile (nearest rank), and never the least of
    several; of the way to memory the median: see ``CanaryBest``.
    """
    faults_us = [reading.faults_us for reading in readings if reading.faults_us is not None]
    return CanaryReading(
        compute_us=_low([reading.compute_us for reading in readings]),
        memory_us=median([reading.memory_us for reading in readings]),
        faults_us=_low(faults_us) if faults_us else None,
    )


def in_words(best: CanaryBest, before: CanaryBest | None) -> str | None:
    """What a user has to know of the best that times were adjusted to; None where all is well.

    ``before`` is what was remembered when the run began.
    """
    own = best.of_this_run
    if own is None:
        return None
    if before is None:
        return "the machine's own speed is known from this run alone"
    faster = before.delivered(own)
    if faster > FARTHEST_APART:
        runs = "the one before"
        if before.runs > 1:
            runs = f"the {before.runs} before"
        return f"the machine was faster than ever seen: by {faster - 1:.0%} than in {runs}"
    share = best.delivered(own)
    if share < FARTHEST_CALM:
        return f"the machine never came near its own speed in this run: at best {share:.0%} of it"
    if best.second_us is not None and best.second_us > CONFIRMED * best.compute_us:
        return (
            "the machine's own speed was seen in one run alone, and may be higher: times may be a "
            "few percent too long until another run comes near it"
        )
    return None


def outvoted_in_words(host: Host, threads: int) -> str | None:
    """Whether one earlier run was so much faster than the others that it does not count."""
    runs = read_runs(_path(host, threads), CanaryRun)
    best = best_of_runs(runs, threads)
    if best is None:
        return None
    for run in runs:
        for what, ours, counts in (
            ("arithmetic", run.compute_us, best.compute_us),
            ("memory", run.memory_us, best.memory_us),
        ):
            if ours < counts:
                return (
                    f"the run of {run.at:%Y-%m-%d} had {counts / ours - 1:.0%} faster {what} than "
                    f"what counts as this machine's own: it counts when another run comes near it"
                )
    return None


def remembered_words(
    before: CanaryBest | None, readings: Sequence[CanaryReading], host: Host, threads: int
) -> list[str]:
    """All that a user has to know of the best that the times of a run were adjusted to."""
    best = best_of(before, readings, threads)
    words = (in_words(best, before), outvoted_in_words(host, threads))
    return [said for said in words if said is not None]


def _low(times_us: Sequence[float]) -> float:
    rank = max(math.ceil(LOW_SHARE * len(times_us)), 2)
    return sorted(times_us)[min(rank, len(times_us)) - 1]


def _least_known(runs: Sequence[CanaryRun]) -> float | None:
    known = [(run.faults_us, run.at) for run in runs if run.faults_us is not None]
    return _least(known) if known else None


def _least(times_us: Sequence[tuple[float, datetime]]) -> float:
    """The least of the times, each with its date, unless the next ones outvote it."""
    in_order = sorted(times_us)
    least_us = in_order[0][0]
    others = in_order[1 : 1 + FEWEST_TO_OUTVOTE]
    if len(others) < FEWEST_TO_OUTVOTE:
        return least_us
    second_us, last_us = others[0][0], others[-1][0]
    dates = [at for _, at in others]
    they_agree = last_us <= FARTHEST_APART * second_us
    for_long = max(dates) - min(dates) >= SHORTEST_AGREEMENT
    if they_agree and for_long:
        return max(least_us, second_us / FARTHEST_APART)
    return least_us


def _two_fastest(runs: Sequence[CanaryRun]) -> list[CanaryRun]:
    """The runs that the best rests on, of each piece of work."""
    by_compute = sorted(runs, key=lambda run: run.compute_us)
    by_memory = sorted(runs, key=lambda run: run.memory_us)
    return [*by_compute[:2], *by_memory[:2]]


def _path(host: Host, threads: int) -> Path:
    return cache_path("canary", METHOD, host, threads, ["numpy"])
