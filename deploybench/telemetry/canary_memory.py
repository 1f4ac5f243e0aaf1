"""What the canary takes on this host when it is calm: its delivered speed is a share of that.

Within one run it cannot be known: others may take a part of the machine for all of the run, and
everything then looks calm. So each run leaves what it found, and the calm ones of all runs count.

- *A state of the machine*, told by the hop, has a speed of its own. All of the following is for
  each of them by itself.
- *What a run found* is the middle of its calm readings: of those within 5 % of a low percentile, of
  each piece of work for itself. A single fastest reading is luck, so the readings are those of a
  few seconds each (:meth:`deploybench.telemetry.trace.Trace.smoothed`).
- *What counts* is the middle of the runs within 5 % of the fastest (of the way to memory, of all):
  others only make it slower, and a calm machine is a few percent faster in one hour than in the
  next. A time at the middle of what
  calm visits were given has to be moved by little; at the fastest that was ever seen, by the error
  of its slope times those percents.
- One run may have been faster than any other ever will (a processor that was cold, another host
  behind the same name), and must not make every later one look disturbed for ever. It is outvoted
  where the next four agree with each other within 5 % and were made over three days or more. Runs
  that others slowed do not agree so well and for so long; until then the odd one may be the only
  calm one, and counts.
- *The run at hand* counts for itself where it was faster by more than that than all before.

A run of few readings leaves nothing: its low percentile is no low one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from deploybench.hardware.host import Host
from deploybench.results.visit import CanaryBest, CanaryReading, together
from deploybench.statistics.adjust import FARTHEST_CALM
from deploybench.statistics.levels import levels_of, nearest, same_state
from deploybench.statistics.samples import median
from deploybench.telemetry.canary import METHOD
from deploybench.telemetry.remembered import RememberedRun, cache_path, read_runs, write_runs

LOW_SHARE = 0.1
"""Of the readings of a run that are faster than its low percentile. A lower one would be what the
readings scatter by."""
CALM_APART = 1.05
"""Of calm readings, and of calm runs, from the fastest of them."""
FEWEST_READINGS = 20
FEWEST_TO_OUTVOTE = 4
SHORTEST_AGREEMENT = timedelta(days=3)


class CanaryRun(RememberedRun):
    """What one run found in one state of the machine."""

    compute_us: float = Field(gt=0, allow_inf_nan=False)
    memory_us: float = Field(gt=0, allow_inf_nan=False)
    faults_us: float | None = Field(None, gt=0, allow_inf_nan=False)
    hop_ns: float | None = Field(None, gt=0, allow_inf_nan=False)
    readings: int


Seen = TypeVar("Seen", CanaryReading, CanaryRun)


def remembered(host: Host, threads: int) -> CanaryBest | None:
    """What all runs before this one found; None where nothing is known."""
    return best_of_runs(read_runs(_path(host, threads), CanaryRun), threads)


def remember(host: Host, threads: int, readings: Sequence[CanaryReading]) -> CanaryBest:
    """Keep what this run found, at its end; what counts after it.

    Raises ValueError where there are neither readings nor earlier runs.
    """
    path = _path(host, threads)
    before = read_runs(path, CanaryRun)
    found = []
    for seen in _by_state(readings):
        if len(seen) >= FEWEST_READINGS:
            own = calm_of(seen)
            found.append(CanaryRun(**own.model_dump(), readings=len(seen)))
    if found:
        runs = (*before, *found)
        write_runs(path, runs, _fastest(runs))
    return best_of(best_of_runs(before, threads), readings, threads)


def best_of(
    before: CanaryBest | None, readings: Sequence[CanaryReading], threads: int
) -> CanaryBest:
    """What counts of the runs before and of this one, as far as it has come.

    Raises ValueError where there are neither.
    """
    known = [] if before is None else list(before.states)
    seen = _by_state(readings)
    # A moment in a state tells nothing of it; the longest has to do where nothing else is known.
    longer = [members for members in seen if len(members) >= FEWEST_READINGS]
    if longer or known:
        seen = longer
    elif seen:
        seen = [max(seen, key=len)]
    states = []
    for members in seen:
        own = calm_of(members)
        earlier = next((state for state in known if _one_state(state, own)), None)
        if earlier is not None:
            known.remove(earlier)
        states.append(_with_own(earlier, own, threads))
    return together([*states, *known])


def best_of_runs(runs: Sequence[CanaryRun], threads: int) -> CanaryBest | None:
    """What counts of some runs, in whatever order; None of none."""
    states = []
    for members in _by_state(runs):
        states.append(
            CanaryBest(
                threads=threads,
                compute_us=_usual([(run.compute_us, run.at) for run in members]),
                memory_us=median([run.memory_us for run in members]),
                faults_us=_usual_known(members),
                hop_ns=_hop_of(members),
                runs=len(members),
                second_us=_second_us([run.compute_us for run in members]),
            )
        )
    return together(states) if states else None


def calm_of(readings: Sequence[CanaryReading]) -> CanaryReading:
    """What a run knows of the calm machine, of readings in one state.

    Of the arithmetic and of new pages the middle of those near the low percentile (nearest rank);
    of the way to memory and of the hop the median.
    """
    faults_us = [reading.faults_us for reading in readings if reading.faults_us is not None]
    return CanaryReading(
        compute_us=_calm([reading.compute_us for reading in readings]),
        memory_us=median([reading.memory_us for reading in readings]),
        faults_us=_calm(faults_us) if faults_us else None,
        hop_ns=_hop_of(readings),
    )


def in_words(best: CanaryBest, before: CanaryBest | None) -> str | None:
    """What a user has to know of the speed that times were adjusted to; None where all is well.

    ``before`` is what was remembered when the run began.
    """
    for state in best.states:
        words = _state_in_words(state, before)
        if words is not None:
            where = ""
            if best.others and state.hop_ns is not None:
                where = f"while a hop takes {state.hop_ns:.0f} ns "
            return f"{where}{words}"
    return None


def _state_in_words(best: CanaryBest, before: CanaryBest | None) -> str | None:
    own = best.of_this_run
    if own is None:
        return None
    known = [] if before is None else before.states
    earlier = next((state for state in known if _one_state(state, own)), None)
    if earlier is None:
        return "the machine's own speed is known from this run alone"
    faster = earlier.delivered(own)
    if faster > CALM_APART:
        runs = "the one before"
        if earlier.runs > 1:
            runs = f"the {earlier.runs} before"
        return f"the machine was faster than ever seen: by {faster - 1:.0%} than in {runs}"
    share = best.delivered(own)
    if share < FARTHEST_CALM:
        return f"the machine never came near its own speed in this run: at best {share:.0%} of it"
    if best.second_us is not None and best.second_us > CALM_APART * best.compute_us:
        return (
            "the machine's own speed was seen in one run alone, and may be higher: times may be a "
            "few percent too long until another run comes near it"
        )
    return None


def outvoted_in_words(host: Host, threads: int) -> str | None:
    """Whether one earlier run was so much faster than the others that it does not count."""
    for members in _by_state(read_runs(_path(host, threads), CanaryRun)):
        times_us = [(run.compute_us, run.at) for run in members]
        fastest_us, at = min(times_us)
        counts_us = _usual(times_us)
        if counts_us > CALM_APART * fastest_us:
            return (
                f"the run of {at:%Y-%m-%d} had {counts_us / fastest_us - 1:.0%} faster arithmetic "
                "than what counts as this machine's own: it counts when another run comes near it"
            )
    return None


def remembered_words(
    before: CanaryBest | None, readings: Sequence[CanaryReading], host: Host, threads: int
) -> list[str]:
    """All that a user has to know of the best that the times of a run were adjusted to."""
    best = best_of(before, readings, threads)
    words = (in_words(best, before), outvoted_in_words(host, threads))
    return [said for said in words if said is not None]


def _with_own(earlier: CanaryBest | None, own: CanaryReading, threads: int) -> CanaryBest:
    """What counts in a state that this run was in; ``earlier`` is what did before."""
    if earlier is None:
        return CanaryBest(
            threads=threads,
            compute_us=own.compute_us,
            memory_us=own.memory_us,
            faults_us=own.faults_us,
            hop_ns=own.hop_ns,
            runs=1,
            of_this_run=own,
        )
    faults_us = earlier.faults_us
    if faults_us is None or (own.faults_us and CALM_APART * own.faults_us < faults_us):
        faults_us = own.faults_us
    compute_us = _unless_faster(earlier.compute_us, own.compute_us)
    return earlier.replaced(
        compute_us=compute_us,
        faults_us=faults_us,
        runs=earlier.runs + 1,
        of_this_run=own,
        second_us=_second_after(earlier, own.compute_us, compute_us),
    )


def _unless_faster(earlier_us: float, own_us: float) -> float:
    return own_us if CALM_APART * own_us < earlier_us else earlier_us


def _second_after(earlier: CanaryBest, own_us: float, counts_us: float) -> float:
    """The arithmetic of the run that comes second, once this one is among them."""
    if own_us == counts_us:
        return earlier.compute_us
    return min(own_us, earlier.second_us or math.inf)


def _second_us(times_us: Sequence[float]) -> float | None:
    return sorted(times_us)[1] if len(times_us) > 1 else None


def _by_state(seen: Sequence[Seen]) -> list[list[Seen]]:
    """Readings or runs by the state of the machine, the shortest hop first.

    Those that have no hop are in none, where others have one.
    """
    hops_ns = [one.hop_ns for one in seen if one.hop_ns is not None]
    levels = levels_of(hops_ns)
    if not levels:
        return [list(seen)] if seen else []
    by_level: dict[float, list[Seen]] = {level: [] for level in levels}
    for one in seen:
        if one.hop_ns is not None:
            by_level[nearest(levels, one.hop_ns)].append(one)
    return [members for members in by_level.values() if members]


def _one_state(best: CanaryBest, own: CanaryReading) -> bool:
    return same_state(best.hop_ns, own.hop_ns)


def _hop_of(seen: Sequence[CanaryReading] | Sequence[CanaryRun]) -> float | None:
    hops_ns = [one.hop_ns for one in seen if one.hop_ns is not None]
    return median(hops_ns) if hops_ns else None


def _calm(times_us: Sequence[float]) -> float:
    rank = max(math.ceil(LOW_SHARE * len(times_us)), 2)
    low_us = sorted(times_us)[min(rank, len(times_us)) - 1]
    return median([us for us in times_us if low_us / CALM_APART <= us <= CALM_APART * low_us])


def _usual_known(runs: Sequence[CanaryRun]) -> float | None:
    known = [(run.faults_us, run.at) for run in runs if run.faults_us is not None]
    return _usual(known) if known else None


def _usual(times_us: Sequence[tuple[float, datetime]]) -> float:
    """The middle of the times near the least of them, each with its date; of all but the least
    where the next ones outvote it."""
    in_order = sorted(times_us)
    least_us = in_order[0][0]
    others = in_order[1 : 1 + FEWEST_TO_OUTVOTE]
    if len(others) == FEWEST_TO_OUTVOTE:
        second_us, last_us = others[0][0], others[-1][0]
        dates = [at for _, at in others]
        is_odd = second_us > CALM_APART * least_us
        they_agree = last_us <= CALM_APART * second_us
        if is_odd and they_agree and max(dates) - min(dates) >= SHORTEST_AGREEMENT:
            least_us = second_us
            in_order = in_order[1:]
    return median([time_us for time_us, _ in in_order if time_us <= CALM_APART * least_us])


def _fastest(runs: Sequence[CanaryRun]) -> list[CanaryRun]:
    """The runs that what counts rests on: of each state the two fastest."""
    fastest = []
    for members in _by_state(runs):
        fastest += sorted(members, key=lambda run: run.compute_us)[:2]
    return fastest


def _path(host: Host, threads: int) -> Path:
    return cache_path("canary", METHOD, host, threads, ["numpy"])
