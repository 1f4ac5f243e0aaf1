"""The readings of a run's canary in order of time, and what they say of a moment.

A single reading is noisy: on a shared machine one of 15 ms scatters by 3 to 9 %, while the speed
that all cells feel changes over seconds. So the speed beside a visit is the median of the readings
of some seconds around it. (On one such machine a single reading explained a tenth of what a cell's
visits scatter by, and the median of 4 s three quarters of it.)
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

from deploybench.results.visit import AROUND_S, CanaryReading, middle_of
from deploybench.statistics.levels import same_state
from deploybench.statistics.samples import median

LATE = 100
"""Readings that are looked at: half a minute of a run of several cells."""
STILL = 0.01
"""A machine that others share moves by ten times that from one reading to the next."""


class Trace:
    """Grows while a run goes on. All times are seconds since its first visit, or first reading."""

    def __init__(self) -> None:
        self.readings: list[CanaryReading] = []
        self._moments_s: list[float] = []
        self._began: float | None = None
        self._settled: list[CanaryReading] = []
        """The smoothed readings that no later one changes."""

    def since_begin_s(self, moment: float) -> float:
        """A moment of the monotonic clock (s); the first one that is asked for is the beginning."""
        if self._began is None:
            self._began = moment
        return moment - self._began

    def add(self, moment: float, reading: CanaryReading) -> None:
        """A reading that was made at a moment of the monotonic clock (s), later than all before."""
        self._moments_s.append(self.since_begin_s(moment))
        self.readings.append(reading)

    @property
    def still(self) -> bool:
        """Whether no reading of late told anything: a machine of one's own, with nobody beside."""
        if len(self.readings) < LATE:
            return False
        late_us = [reading.compute_us for reading in self.readings[-LATE:]]
        middle_us = median(late_us)
        return all(abs(one_us - middle_us) <= STILL * middle_us for one_us in late_us)

    def age_s(self, moment: float) -> float:
        """How old the newest reading is at a moment of the monotonic clock; infinite: none yet."""
        if not self._moments_s:
            return math.inf
        return self.since_begin_s(moment) - self._moments_s[-1]

    def latest(self) -> CanaryReading | None:
        """The newest reading as the median of those near it; None before the first."""
        if not self._moments_s:
            return None
        return self._of(len(self.readings) - 1)

    def around(
        self, begin_s: float, end_s: float, hop_ns: float | None = None
    ) -> list[CanaryReading]:
        """The readings near that span, in order of time; with a hop, those of its state."""
        first = bisect_left(self._moments_s, begin_s - AROUND_S)
        last = bisect_right(self._moments_s, end_s + AROUND_S)
        near = self.readings[first:last]
        if hop_ns is None:
            return near
        return [reading for reading in near if same_state(reading.hop_ns, hop_ns)]

    def is_settled(self, end_s: float) -> bool:
        """Whether no later reading is near a span that ends then."""
        return bool(self._moments_s) and self._moments_s[-1] > end_s + AROUND_S

    def smoothed(self) -> list[CanaryReading]:
        """Each reading as the median of those around it that the machine was in its state in."""
        while len(self._settled) < len(self.readings):
            moment_s = self._moments_s[len(self._settled)]
            if not self.is_settled(moment_s):
                break
            self._settled.append(self._of(len(self._settled)))
        still_open = range(len(self._settled), len(self.readings))
        return [*self._settled, *(self._of(number) for number in still_open)]

    def _of(self, number: int) -> CanaryReading:
        """A reading as the median of those around it, of its state."""
        moment_s = self._moments_s[number]
        return middle_of(self.around(moment_s, moment_s, self.readings[number].hop_ns))
