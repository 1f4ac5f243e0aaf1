"""The bootstrap over images (Efron 1979): by how much a figure would move with other images.

A resample is a number for each image, how often it was drawn. All figures of one evaluation are
computed from the same resamples, many at once, as sums over images: no figure loops over them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from deploybench.statistics.figures import Basis, Figure
from deploybench.statistics.samples import CONFIDENCE

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
"""The ends of a 95 % interval then rest on 50 resamples each."""
VALUES_AT_ONCE = 1 << 21
"""Draws that are held in memory at a time, so that memory does not grow with the images."""


def resamples_of(images: int, count: int = RESAMPLES, seed: int = 0) -> Iterator[Floats]:
    """How often each image is drawn: blocks of (resamples, images), ``count`` resamples in all.

    Every row sums to ``images``. The same seed draws the same.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, min(count, VALUES_AT_ONCE // images))
    for first in range(0, count, at_once):
        rows = min(at_once, count - first)
        drawn = generator.integers(0, images, size=(rows, images))
        # Each row counts in bins of its own.
        drawn += images * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * images)
        yield times.reshape(rows, images).astype(np.float64)


def interval_of(
    value: float, replicates: Floats, *, least: float = -1.0, most: float = 1.0
) -> Figure:
    """The figure with the percentiles of its replicates (NaN: not defined in that resample).

    Where every resample says the same, nothing tells how far it may be from the truth: then there
    is no interval.
    """
    defined = replicates[~np.isnan(replicates)]
    if len(defined) < 2 or np.ptp(defined) == 0:
        return Figure(value=value)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    by: Basis = "bootstrap"
    return Figure(
        value=value,
        low=float(np.clip(min(low, value), least, most)),
        high=float(np.clip(max(high, value), least, most)),
        by=by,
    )
