"""When two clocks agree on the time of the same work on a GPU."""

from __future__ import annotations

AGREEMENT = 0.1
"""Between GPU times of the same work by different clocks."""
LAUNCHING_MS = 0.05
"""What a launch and an event may cost beside the work: a card that is done in 0.1 ms shows it."""


def agree(one_ms: float, other_ms: float) -> bool:
    """Whether two times of the same work differ by what clocks and launches may differ by."""
    return abs(one_ms - other_ms) <= AGREEMENT * max(one_ms, other_ms) + LAUNCHING_MS


def no_longer(part_ms: float, whole_ms: float) -> bool:
    """Whether a part of the work takes no longer than the whole, as far as clocks agree."""
    return part_ms < whole_ms or agree(part_ms, whole_ms)
