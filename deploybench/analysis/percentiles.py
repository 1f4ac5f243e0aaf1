"""Percentiles of samples in the record's words."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.results.record import Percentile
from deploybench.statistics.counted import Counted
from deploybench.statistics.samples import quantile

FRACTIONS = (0.5, 0.9, 0.95, 0.99, 0.999)
NS_PER_MS = 1e6


def percentiles_of(groups_ns: Sequence[Counted]) -> tuple[Percentile, ...]:
    """The percentiles of all samples; those of one group may know of each other."""
    return tuple(_percentile(groups_ns, fraction) for fraction in FRACTIONS)


def _percentile(groups_ns: Sequence[Counted], fraction: float) -> Percentile:
    quantile_ns = quantile(groups_ns, fraction)
    return Percentile(
        fraction=fraction,
        ms=in_ms(quantile_ns.value),
        low_ms=in_ms(quantile_ns.low),
        high_ms=in_ms(quantile_ns.high),
        samples=quantile_ns.samples,
        needed=quantile_ns.needed,
    )


def in_ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NS_PER_MS
