"""Where more work at once stops paying: the saturation point of a sweep over batch sizes or
streams."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

SMALLEST_GAIN = 0.05
"""A doubling that gains less than 5 % of throughput costs latency and memory for nothing."""


def saturation_point(throughputs: Mapping[int, float]) -> int | None:
    """The smallest size whose successor gains less than 5 %; None for a sweep of one, or one that
    still gains.

    ``throughputs`` are items a second by batch size or number of streams.
    """
    sizes = sorted(throughputs)
    for size, larger in itertools.pairwise(sizes):
        if throughputs[larger] < throughputs[size] * (1 + SMALLEST_GAIN):
            return size
    return None
