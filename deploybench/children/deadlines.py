"""The time by which a piece of work has promised to be over, for whatever waits on its behalf.

One deadline holds for the whole process, as the work is one: the limits of children are cut to what
is left (:mod:`deploybench.children.processes`, :mod:`deploybench.children.resident`), and loops ask
whether another turn fits. Without one nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

LEAST_WAIT_S = 0.05
"""A child that is late is waited for no longer, and not for nothing."""
WORDS = "not tried: budget"
"""What is said of work that the time was not enough for."""

_ends = math.inf


@contextmanager
def no_later_than(ends: float) -> Iterator[None]:
    """Within the block nothing takes longer than until ``ends`` on the monotonic clock; within
    another such block the earlier of the two."""
    global _ends
    before = _ends
    _ends = min(before, ends)
    try:
        yield
    finally:
        _ends = before


def left_s() -> float:
    """Seconds until the deadline, 0 after it; infinite without one."""
    return max(_ends - monotonic(), 0.0)


def passed() -> bool:
    """Whether the deadline is over."""
    return left_s() == 0.0


def allowed_s(limit_s: float) -> float:
    """A limit of so many seconds, cut to what is left."""
    return max(min(limit_s, left_s()), LEAST_WAIT_S)


def stopped_words(limit_s: float) -> str:
    """Why a child was stopped that was allowed ``limit_s``: the deadline, or its own limit."""
    if passed():
        return f"{WORDS} (stopped when it was spent)"
    return f"stopped after the time limit of {limit_s:g} s"
