"""The area under the ROC curve of each class against the others, with an interval.

The value is scikit-learn's. What each image adds to it are the placements of DeLong, DeLong and
Clarke-Pearson (1988): the share of the other group that the image is on the right side of, ties
counting half. They let the mean over classes be resampled with all the other figures of an
evaluation. One class has Newcombe's interval: of few images a bootstrap sees too little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.bootstrap import interval_of
from deploybench.statistics.figures import Figure
from deploybench.statistics.samples import CONFIDENCE

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FEWEST_DEGREES = 4.0
"""Of freedom: with fewer an interval would say nothing."""
NEAREST = 1e-12
"""An end is looked for no nearer than this to 0 and 1, where it would be found for every value."""


@dataclass(frozen=True)
class Area:
    """The area of one class, and by how much each image pulls it (its influence): drawn once more,
    the image moves the area by ``influence / images`` to the first order.

    ``scatter`` is, for the images of the class and for the others, the variance that they give the
    area, and the relative variance of that estimate.
    """

    figure: Figure
    influence: Floats
    scatter: tuple[tuple[float, float], ...]


def area_of(scores: Floats, positive: Booleans) -> Area | None:
    """The area of one class from its score in each image; None without images of either side."""
    from scipy.stats import rankdata
    from sklearn.metrics import roc_auc_score

    count = len(scores)
    positives = int(np.count_nonzero(positive))
    negatives = count - positives
    if not positives or not negatives:
        return None
    value = float(roc_auc_score(positive, scores))
    # The rank among all less the rank within its own group is how many of the other group are
    # below the image; a tie counts half.
    among_all = rankdata(scores)
    influence = np.zeros(count)
    below = among_all[positive] - rankdata(scores[positive])
    of_positives = below / negatives
    above = positives - (among_all[~positive] - rankdata(scores[~positive]))
    of_negatives = above / positives
    influence[positive] = (of_positives - value) * _widened(positives) * count / positives
    influence[~positive] = (of_negatives - value) * _widened(negatives) * count / negatives
    scatter = (_scatter(of_positives), _scatter(of_negatives))
    return Area(newcombe(value, positives, negatives), influence, scatter)


def _widened(images: int) -> float:
    """What makes the spread of so few placements that of the images that they stand for.

    Their variance is too small by (n - 1) / n, and the number of images of the class varies with
    the sample, too, so that 1 / n is on average larger by (n + 1) / n.
    """
    return math.sqrt((images + 1) / max(images - 1, 1))


def _scatter(placements: Floats) -> tuple[float, float]:
    """The variance of the mean of these placements, and the relative variance of this estimate,
    which is larger the more it rests on few of them (their kurtosis)."""
    from scipy.stats import kurtosis

    count = len(placements)
    # Of equal placements the rounding of their mean would be taken for a variance.
    if placements.min() == placements.max():
        return 0.0, 0.0
    variance = float(placements.var()) / count
    return variance, (float(kurtosis(placements, fisher=False)) - 1) / count


def mean_area(areas: Sequence[Area], moved: Floats) -> Figure:
    """The mean of the areas of several classes; ``moved`` is by how much each resample moves it.

    To the first order, that is: on the logit, where an area near 1 varies alike to both sides. A
    few images far from their own kind make most of the variance, so it is not known well itself:
    the resamples are spread as Student's t is beside the normal, with the degrees of freedom that
    the scatter of the placements leaves (Satterthwaite 1946).
    """
    from scipy.special import expit, logit
    from scipy.stats import norm, t

    mean = math.fsum(area.figure.value for area in areas) / len(areas)
    parts = [part for area in areas for part in area.scatter]
    total = math.fsum(variance for variance, _ in parts)
    doubt = math.fsum(variance**2 * relative for variance, relative in parts)
    if doubt:
        freedom = max(2 * total**2 / doubt, FEWEST_DEGREES)
        end = (1 + CONFIDENCE) / 2
        moved = moved * float(t.ppf(end, freedom) / norm.ppf(end))
    if not 0 < mean < 1:
        return interval_of(mean, mean + moved, least=0.0)
    replicates = expit(logit(mean) + moved / (mean * (1 - mean)))
    return interval_of(mean, replicates, least=0.0)


def newcombe(value: float, positives: int, negatives: int) -> Figure:
    """The area with the ends at which its own distance from the value is what chance allows.

    Newcombe 2006, method 5: the variance is Hanley and McNeil's (1982) at the end itself, not at
    the value, with the mean of the two group sizes in place of each. So it holds for few images,
    and for an area of 1.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    deviations = float(norm.ppf((1 + CONFIDENCE) / 2))
    mean_size = (positives + negatives) / 2

    def excess(end: float) -> float:
        """By how much the distance is more than chance allows, squared."""
        spread = 1 + (mean_size - 1) * ((1 - end) / (2 - end) + end / (1 + end))
        variance = end * (1 - end) * spread / (positives * negatives)
        return float((value - end) ** 2 - deviations**2 * variance)

    # Chance allows nothing at 0 and at 1, so each end lies between one of these and the value.
    low, high = 0.0, 1.0
    if value > 0:
        low = brentq(excess, 0.0, min(value, 1 - NEAREST))
    if value < 1:
        high = brentq(excess, max(value, NEAREST), 1.0)
    return Figure(value=value, low=low, high=high, by="newcombe")
