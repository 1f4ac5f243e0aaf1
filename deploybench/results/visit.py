"""The visit: some calls of a cell in a process that was at rest, between two readings of a canary.

A process is started once (its :class:`~deploybench.results.launch.Launch`), rests, and is visited
again and again. All times are wall clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from pydantic import Field

from deploybench.documents import Document
from deploybench.results.launch import Histogram
from deploybench.statistics.counted import Counted, counted
from deploybench.statistics.levels import nearest, same_state
from deploybench.statistics.samples import median


class CanaryReading(Document):
    """What a fixed piece of work took; see ``telemetry/canary.py``.

    ``hop_ns`` is the state of the machine that it was made in; None where there is no hop.
    """

    compute_us: float
    memory_us: float
    faults_us: float | None = None
    hop_ns: float | None = None


def middle_of(readings: Sequence[CanaryReading]) -> CanaryReading:
    """The median of each piece of work; needs one reading."""
    faults_us = [reading.faults_us for reading in readings if reading.faults_us is not None]
    hops_ns = [reading.hop_ns for reading in readings if reading.hop_ns is not None]
    return CanaryReading(
        compute_us=median([reading.compute_us for reading in readings]),
        memory_us=median([reading.memory_us for reading in readings]),
        faults_us=median(faults_us) if faults_us else None,
        hop_ns=median(hops_ns) if hops_ns else None,
    )


def lesser_known(first: float | None, second: float | None) -> float | None:
    """The lesser of those times that are known; None where neither is."""
    return min((time for time in (first, second) if time is not None), default=None)


NS_PER_S = 1e9
AROUND_S = 2.0
"""Readings of the canary so long before a visit, and so long after it, tell of its moment."""
NEW_PAGES = 1024
"""That a reading of the canary touches."""
MEMORY_ALLOWANCE = 1.25
"""By so much the way to memory may be slower than usual before it counts: on shared machines it has
two speeds (2.8 and 4.0 ms were seen from one second to the next) that most cells do not feel, and a
neighbour who copies makes it slower than both."""


MEMORY_WEIGHT = 0.5
"""Of the way to memory in what a run was given, arithmetic counting for 1. Of 10 calm runs of four
cells in two hours the times went with both, with 0.3 to 0.6 of the way to memory: with that in it
what is left between runs is half as much. One reading of it says more of the cell before it than of
the machine, so it is that of the run."""
FARTHEST_MEMORY = 1.1
"""Farther from the usual one it is no calm machine's, and was never seen beside one."""


class CanaryBest(Document):
    """What the canary takes on this host when it is calm, and in how many runs that was looked for.

    ``threads`` is the budget that it works with. ``of_this_run`` is the same of this run alone: a
    machine that was slow all the time shows in the distance of the two. ``second_us`` is the
    arithmetic of the run that came nearest to the fastest: far from it, the machine was seen so
    fast once, and may be faster still.

    All of it is of one state of the machine, named by ``hop_ns``; ``others`` are the same of the
    other states that it was seen in.
    """

    threads: int
    compute_us: float
    memory_us: float
    faults_us: float | None = None
    runs: int
    of_this_run: CanaryReading | None = None
    second_us: float | None = None
    hop_ns: float | None = None
    others: tuple[CanaryBest, ...] = ()

    @property
    def states(self) -> tuple[CanaryBest, ...]:
        """Those of all states, each without the others."""
        return (self.replaced(others=()), *self.others)

    def in_state(self, hop_ns: float | None) -> CanaryBest:
        """That of the state whose hop is nearest by ratio."""
        if hop_ns is None:
            return self
        levels = {state.hop_ns: state for state in self.states if state.hop_ns is not None}
        return levels[nearest(list(levels), hop_ns)] if levels else self

    def known_in(self, hop_ns: float | None) -> CanaryBest | None:
        """That of the very state; None where it was never met. Without a hop, in what was read or
        in what is asked, nobody can tell states apart: then it is as :meth:`in_state`."""
        found = self.in_state(hop_ns)
        if None in (found.hop_ns, hop_ns) or same_state(found.hop_ns, hop_ns):
            return found
        return None

    def delivered(self, reading: CanaryReading, faults_share: float = 0.0) -> float:
        """The share of the machine's own speed, in the state of the reading, that it was given; 1
        is all of it.

        ``faults_share`` is which part of its time a cell waits for new pages when the machine is at
        its best: so much of it goes with their time, the rest with that of the arithmetic.
        """
        own = self.in_state(reading.hop_ns)
        slower = reading.compute_us / own.compute_us
        if own.faults_us is not None and reading.faults_us is not None:
            slower_faults = reading.faults_us / own.faults_us
            slower = (1 - faults_share) * slower + faults_share * slower_faults
        if own.of_this_run is not None:
            slower_memory = own.of_this_run.memory_us / own.memory_us
            slower_memory = min(max(slower_memory, 1 / FARTHEST_MEMORY), FARTHEST_MEMORY)
            slower *= slower_memory**MEMORY_WEIGHT
        memory = MEMORY_ALLOWANCE * own.memory_us / reading.memory_us
        return min(1 / slower, memory)


def together(states: Sequence[CanaryBest]) -> CanaryBest:
    """Those of several states as one: that with the shortest hop, and the others.

    Raises ValueError where there are none.
    """
    if not states:
        raise ValueError("nothing is known of the canary: there are no readings")
    first, *others = sorted(states, key=lambda state: state.hop_ns or 0.0)
    return first.replaced(others=tuple(others))


class Visit(Document):
    """The calls of one visit.

    ``process`` is the number of the launch whose process was visited. Of very many samples a
    histogram takes the place of ``samples_ns``. The canary was read ``before`` and ``after``;
    ``around`` is the median of all its readings near the visit, of which there are
    ``readings_around`` (``telemetry/trace.py``).
    """

    round: int
    order: int
    process: int
    at_s: float = Field(description="when it began, since the first visit of the run")
    samples_ns: tuple[int, ...] = ()
    histogram: Histogram | None = None
    window_ns: int = Field(description="wall time of the samples")
    cpu_ns: int = Field(0, description="CPU time of all threads of the process meanwhile")
    switches: int | None = Field(None, description="involuntary context switches meanwhile")
    faults: int | None = Field(None, description="page faults meanwhile that read no disk")
    clock_mhz: int | None = Field(None, description="of a GPU's cores, right after the calls")
    device_ns: float | None = Field(
        None, description="median of the calls by the device's own clock"
    )
    joules: float | None = None
    before: CanaryReading | None = None
    after: CanaryReading | None = None
    around: CanaryReading | None = None
    readings_around: int = 0

    @property
    def values_ns(self) -> Counted:
        """The samples by value."""
        if self.histogram is not None:
            return self.histogram.counted
        return counted(self.samples_ns)

    @property
    def count(self) -> int:
        """How many samples there are."""
        if self.histogram is not None:
            return sum(self.histogram.counts)
        return len(self.samples_ns)

    @cached_property
    def median_ns(self) -> float:
        """Needs one sample. Found once: a run asks for it after every round."""
        return self.values_ns.median()

    @property
    def hops_ns(self) -> list[float]:
        """The hop before it and after it, as far as it was read."""
        readings = [reading for reading in (self.before, self.after) if reading is not None]
        return [reading.hop_ns for reading in readings if reading.hop_ns is not None]

    @property
    def end_s(self) -> float:
        """When it ended, since the first visit of the run."""
        return self.at_s + self.window_ns / NS_PER_S
