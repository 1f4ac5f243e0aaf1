"""The visit: some calls of a cell in a process that was at rest, between two readings of a canary.

A process is started once (its :class:`~deploybench.results.launch.Launch`), rests, and is visited
again and again. All times are wall clock.
"""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from deploybench.documents import Document
from deploybench.results.launch import Histogram
from deploybench.statistics.counted import Counted, counted


class CanaryReading(Document):
    """What a fixed piece of work took; see ``telemetry/canary.py``."""

    compute_us: float
    memory_us: float


class CanaryBest(Document):
    """The least that the canary took on this host, and in how many runs it was looked for.

    ``threads`` is the budget that it works with. ``of_this_run`` is the least of this run alone:
    a machine that was slow all the time shows in the distance of the two.
    """

    threads: int
    compute_us: float
    memory_us: float
    runs: int
    of_this_run: CanaryReading | None = None

    def delivered(self, reading: CanaryReading) -> float:
        """The share of the machine's own speed that this reading was given; 1 is all of it.

        The reading's two pieces of work count by the time that they take.
        """
        least_us = self.compute_us + self.memory_us
        return least_us / (reading.compute_us + reading.memory_us)


class Visit(Document):
    """The calls of one visit.

    ``process`` is the number of the launch whose process was visited. Of very many samples a
    histogram takes the place of ``samples_ns``. The canary was read ``before`` and ``after``.
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
    device_ns: float | None = Field(
        None, description="median of the calls by the device's own clock"
    )
    joules: float | None = None
    before: CanaryReading | None = None
    after: CanaryReading | None = None

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
