"""Numbers of attention: how spread it is, how far it looks, and whether two mechanisms agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
RESAMPLES, CONFIDENCE, SEED = 2000, 0.95, 1


@dataclass(frozen=True)
class Interval:
    """A mean over images, with its 95 % interval where there are images enough for one."""

    mean: float
    low: float | None
    high: float | None
    images: int


def entropy(weights: Array) -> float:
    """The mean entropy of the rows (last axis), as a share of the largest: 1 for even weights, 0
    where each row has one weight."""
    keys = weights.shape[-1]
    if keys == 1:
        return 0.0
    logs = np.log(np.where(weights > 0, weights, 1))
    return float(-(weights * logs).sum(-1).mean() / np.log(keys))


def mean_distance(weights: Array, shape: tuple[int, int], step: tuple[float, float]) -> float:
    """How far from its own place a token looks on average, in pixels.

    Dosovitskiy et al. 2021, appendix D.7. ``weights``: ... x places x places, row by row on a grid
    of that shape, ``step`` pixels apart (y, x); rows are brought to a sum of one.
    """
    ys, xs = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    down = (ys[:, None] - ys[None, :]) * step[0]
    across = (xs[:, None] - xs[None, :]) * step[1]
    sums = weights.sum(-1)
    far = (weights * np.hypot(down, across)).sum(-1)
    seen = sums > 0  # a query that looks at none of these places has no distance
    return float((far[seen] / sums[seen]).mean()) if seen.any() else float("nan")


def rollout(layers: Sequence[Array]) -> Array:
    """Attention through all layers, tokens x tokens, rows sum to one.

    Abnar and Zuidema 2020, "Quantifying Attention Flow in Transformers". ``layers``: heads x tokens
    x tokens each, in order of execution; the mean over the heads and the identity, which stands for
    the residual connection, have half each.
    """
    total = np.eye(layers[0].shape[-1])
    for weights in layers:
        step = 0.5 * weights.mean(0) + 0.5 * np.eye(weights.shape[-1])
        total = (step / step.sum(-1, keepdims=True)) @ total
    return total


def agreement(one: Array, other: Array) -> float:
    """Spearman's rank correlation of two importance maps; the finer is brought to the coarser's
    grid. Not a number where one of them is even."""
    from scipy.stats import spearmanr

    shape = (min(one.shape[0], other.shape[0]), min(one.shape[1], other.shape[1]))
    first, second = on_grid(one, shape).ravel(), on_grid(other, shape).ravel()
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


def on_grid(values: Array, shape: tuple[int, int]) -> Array:
    """The means of ``values`` over the cells of a grid of that shape, which is no finer."""
    columns = _by_area(values.shape[1], shape[1]).T
    means: Array = _by_area(values.shape[0], shape[0]) @ values @ columns
    return means


def _by_area(length: int, cells: int) -> Array:
    """cells x length: the share of each cell that each element covers; rows sum to one."""
    edges = np.arange(cells + 1) * (length / cells)
    begins, ends = edges[:-1, None], edges[1:, None]
    places = np.arange(length)[None, :]
    covered = np.minimum(ends, places + 1) - np.maximum(begins, places)
    shares: Array = np.clip(covered, 0, None) * (cells / length)
    return shares


def interval(values: Sequence[float]) -> Interval:
    """The mean over images with SciPy's percentile bootstrap; from three images on an interval."""
    from scipy.stats import bootstrap

    sample = np.array([value for value in values if np.isfinite(value)])
    if len(sample) == 0:
        return Interval(float("nan"), None, None, 0)
    mean = float(sample.mean())
    if len(sample) < 3:
        return Interval(mean, None, None, len(sample))
    if np.ptp(sample) == 0:
        return Interval(mean, mean, mean, len(sample))
    found = bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        random_state=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), len(sample))
