"""When a launch's window of samples ends. Pure: it is told what was seen and answers go on or stop."""

from __future__ import annotations

from dataclasses import dataclass


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
