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
        self._smallest, self._largest = start_per_s / FACTOR**WIDEST, start_per_s * FACTOR**WIDEST
        self._passed: list[float] = []
        self._failed: float | None = None
        self._confirmed = False
        self.trials = 0

    def next_rate(self) -> float | None:
        """The rate to try next, per second; None when the search is over."""
        if self._confirmed or self.trials == MOST_TRIALS:
            return None
        low, high = self._low, self._failed
        if low is None:
            rate = self._start if high is None else _four_digits(high / FACTOR)
            return rate if rate >= self._smallest / self._resolution else None
        if high is None:
            rate = _four_digits(low * FACTOR)
            return rate if rate <= self._largest * self._resolution else low
        return low if high / low <= self._resolution else _four_digits(math.sqrt(low * high))

    def tell(self, rate: float, *, passed: bool) -> None:
        """How the rate that :meth:`next_rate` gave came out."""
        self.trials += 1
        if passed and rate == self._low:
            self._confirmed = True
        elif passed:
            self._passed.append(rate)
        else:
            self._failed = rate
            self._passed = [lower for lower in self._passed if lower < rate]

    @property
    def found_per_s(self) -> float | None:
        """The highest rate that passed twice; None while there is none, and when there is none at
        all."""
        return self._low if self._confirmed else None

    @property
    def _low(self) -> float | None:
        return self._passed[-1] if self._passed else None


def _four_digits(rate: float) -> float:
    return float(f"{rate:.4g}")
