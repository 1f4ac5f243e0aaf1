"""When to stop. Pure: the rules are told what was seen and answer go on or stop.

A launch's window of samples ends by a :class:`WindowRule`. The launches of a cell end by an
:class:`ExperimentRule`, which looks at the widths of intervals and at time, never at which side is
ahead: stopping as soon as a comparison looks decided would call equal things unequal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class WindowRule:
    """Stop when both enough samples and enough time have passed, or when the time limit has.

    Times are ns of wall clock since the window began. At least one sample is always taken.
    """

    min_samples: int
    duration_ns: int
    limit_ns: int

    def done(self, samples: int, elapsed_ns: int) -> bool:
        """Whether the window ends after ``samples`` samples and ``elapsed_ns``."""
        if samples == 0:
            return False
        if elapsed_ns >= self.limit_ns:
            return True
        return samples >= self.min_samples and elapsed_ns >= self.duration_ns


class Ending(str, Enum):
    """Why a cell is launched no more."""

    PRECISE = "precise"
    SPENT = "budget spent"
    ROUNDS = "rounds done"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """What is known of a cell after some rounds.

    ``half_widths`` has one entry for each interval that was asked for (every state of the machine,
    every comparison), relative to its centre; None while it does not exist yet. ``launch_s`` is
    what one more costs.
    """

    rounds: int
    spent_s: float
    launch_s: float
    half_widths: tuple[float | None, ...]


@dataclass(frozen=True)
class ExperimentRule:
    """Stop when every interval is narrow enough, when the time is spent, or at ``max_rounds``.

    Narrow enough is a half-width, relative to the centre, of ``half_width`` at most; None never
    ends early: then ``max_rounds`` decides. The first round always runs.
    """

    half_width: float | None
    budget_s: float
    min_rounds: int
    max_rounds: int | None = None

    def ending(self, progress: Progress) -> Ending | None:
        """Why the cell has had its last launch, or None to go on."""
        if progress.rounds == 0:
            return None
        if self.max_rounds is not None and progress.rounds >= self.max_rounds:
            return Ending.ROUNDS
        if progress.rounds >= self.min_rounds and self._precise(progress):
            return Ending.PRECISE
        if progress.spent_s + progress.launch_s > self.budget_s:
            return Ending.SPENT
        return None

    def _precise(self, progress: Progress) -> bool:
        if self.half_width is None or not progress.half_widths:
            return False
        widths = progress.half_widths
        return all(width is not None and width <= self.half_width for width in widths)
