"""The search for the highest rate that a system holds: rates out, pass or fail in.

It measures nothing itself.
"""

from __future__ import annotations

import math

FACTOR = 2.0
"""The bracket grows and shrinks by this."""
WIDEST = 6
"""Doublings and halvings of the first rate at most: from 1/64 to 64 times."""
MOST_TRIALS = 24
RESOLUTION = 1.05
"""Failing and passing rates this close together end the search: Poisson arrivals of 10 s scatter
more than that."""


class RateSearch:
    """A geometric bracket, then bisection, then the rate that was found once more, to confirm it.

    Ask :meth:`next_rate`, try it, :meth:`tell`, until there is no next rate. A pass can be luck, so
    only a rate that passed twice counts: one that fails when it is confirmed is a failing rate, and
    the search goes on below it. Rates have four digits, so that a command line can repeat them.
    """

    def __init__(self, start_per_s: float, resolution: float = RESOLUTION) -> None:
        self._resolution = resolution
        self._start = _four_digits(start_per_s)
        self._smallest = start_per_s / FACTOR**WIDEST
        self._largest = start_per_s * FACTOR**WIDEST
        self._passed: list[float] = []
        self._failed: float | None = None
        self._confirmed = False
        self.trials = 0

    def next_rate(self) -> float | None:
        """The rate to try next, per second; None when the search is over."""
        if self._confirmed or self.trials == MOST_TRIALS:
            return None
        passed = self._highest_passed
        failed = self._failed
        if passed is None:
            if failed is None:
                return self._start
            return self._below(failed)
        if failed is None:
            return self._above(passed)
        # Both ends of the bracket are known: its middle by ratio, until they lie close together.
        if failed / passed <= self._resolution:
            return passed
        return _four_digits(math.sqrt(passed * failed))

    def _below(self, failed: float) -> float | None:
        """The bracket grows downwards; None where it is as wide as it may be."""
        rate = _four_digits(failed / FACTOR)
        if rate < self._smallest / self._resolution:
            return None
        return rate

    def _above(self, passed: float) -> float:
        """The bracket grows upwards; where it is as wide as it may be the rate is confirmed."""
        rate = _four_digits(passed * FACTOR)
        if rate > self._largest * self._resolution:
            return passed
        return rate

    def tell(self, rate: float, *, passed: bool) -> None:
        """How the rate that :meth:`next_rate` gave came out."""
        self.trials += 1
        if passed and rate == self._highest_passed:
            self._confirmed = True
        elif passed:
            self._passed.append(rate)
        else:
            # What passed at this rate or above it, before it failed, was luck.
            self._failed = rate
            self._passed = [lower for lower in self._passed if lower < rate]

    @property
    def found_per_s(self) -> float | None:
        """The highest rate that passed twice; None until there is one, or where there is none."""
        if not self._confirmed:
            return None
        return self._highest_passed

    @property
    def _highest_passed(self) -> float | None:
        if not self._passed:
            return None
        return self._passed[-1]


def _four_digits(rate: float) -> float:
    return float(f"{rate:.4g}")
