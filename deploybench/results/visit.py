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


MEMORY_ALLOWANCE = 1.25
"""By so much the way to memory may be slower than usual before it counts: on shared machines it has
two speeds (2.8 and 4.0 ms were seen from one second to the next) that most cells do not feel, and a
neighbour who copies makes it slower than both."""


class CanaryBest(Document):
    """What the canary takes on this host at the best, and in how many runs it was looked for.

    ``compute_us`` is the least of its arithmetic, ``memory_us`` what the way to memory usually
    takes. ``threads`` is the budget that it works with. ``of_this_run`` is the same of this run
    alone: a machine that was slow all the time shows in the distance of the two.
    """

    threads: int
    compute_us: float
    memory_us: float
    runs: int
    of_this_run: CanaryReading | None = None

    def delivered(self, reading: CanaryReading) -> float:
        """The share of the machine's own speed that this reading was given; 1 is all of it."""
        compute = self.compute_us / reading.compute_us
        memory = MEMORY_ALLOWANCE * self.memory_us / reading.memory_us
        return min(compute, memory)


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
