"""The calibration error: how far a classifier's certainty is from how often it is right.

The expected calibration error of the most probable class, in 15 bins of equal width weighed by
their images (Guo et al. 2017). Chance makes it too large: where a bin's certainty is right, its gap
is still never exactly 0. The value is given as everybody computes it; the interval is that of the
error without what chance adds. A gap with the size of its own noise is taken for the distance whose
noisy reading has that mean: of a normal reading the mean distance is known (a folded normal), and
turned around here. The resamples are treated alike, and centred on the set's own.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from deploybench.statistics.bootstrap import interval_of, resamples_of
from deploybench.statistics.figures import Figure

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

BINS = 15
FAR = 8.0
"""From so many standard deviations on noise adds nothing to a distance."""
SMALLEST_VARIANCE = 1e-12


def calibration_error(confidence: Floats, right: Booleans) -> float:
    """The expected calibration error; ``confidence`` is that of the most probable class."""
    gaps = np.bincount(_bins(confidence), weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration(confidence: Floats, right: Booleans, resamples: int, seed: int) -> Figure:
    """The error with the interval of what is left of it without chance."""
    from scipy.sparse import csr_matrix

    images = len(confidence)
    gap = confidence - right
    places = (np.arange(images), _bins(confidence))
    counts, gaps, squares = (
        csr_matrix((values, places), shape=(images, BINS))
        for values in (np.ones(images), gap, gap**2)
    )

    def without_chance(times: Floats) -> Floats:
        """Of each resample: the sum of the distances of its bins, each without its noise."""
        total, count = times @ gaps, times @ counts
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = np.nan_to_num(times @ squares - total**2 / count)
        noise = np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))
        distances: Floats = (_distance(np.abs(total) / noise) * noise).sum(axis=1) / images
        return distances

    own = float(without_chance(np.ones((1, images)))[0])
    replicates = np.concatenate(
        [without_chance(times) for times in resamples_of(images, resamples, seed)]
    )
    centred = replicates - (replicates.mean() - own)
    return interval_of(calibration_error(confidence, right), centred, least=0.0)


def _bins(confidence: Floats) -> Integers:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def _distance(seen: Floats) -> Floats:
    """The distance from 0, in standard deviations, that is read as ``seen`` on average."""
    distances, means = _folded()
    return np.where(seen >= FAR, seen, np.interp(seen, means, distances))


@cache
def _folded() -> tuple[Floats, Floats]:
    """Distances, and the mean size of a normal reading of each with a standard deviation of 1."""
    from scipy.stats import norm

    distances = np.linspace(0, FAR, 1001)
    means = distances * (1 - 2 * norm.cdf(-distances)) + 2 * norm.pdf(distances)
    return distances, means
