"""The area under the ROC curve of each class against the others, with an interval.

The value is scikit-learn's. What each image adds to it are the placements of DeLong, DeLong and
Clarke-Pearson (1988): the share of the other group that the image is on the right side of, ties
counting half. Their variance gives the interval of one class (on the logit, which stays between 0
and 1), and they let the mean over classes be resampled with all the other figures of an evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.figures import Figure
from deploybench.statistics.samples import CONFIDENCE

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

FEWEST_OF_A_SIDE = 2
"""With one image on a side nothing tells how images of that side vary."""


@dataclass(frozen=True)
class Area:
    """The area of one class, and by how much each image pulls it (its influence): drawn once more,
    the image moves the area by ``influence / images`` to the first order."""

    figure: Figure
    influence: Floats


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
    influence[positive] = (of_positives - value) * count / positives
    influence[~positive] = (of_negatives - value) * count / negatives
    if min(positives, negatives) < FEWEST_OF_A_SIDE:
        return Area(Figure(value=value), influence)
    variance = of_positives.var(ddof=1) / positives + of_negatives.var(ddof=1) / negatives
    return Area(_on_the_logit(value, math.sqrt(variance)), influence)


def _on_the_logit(value: float, deviation: float) -> Figure:
    """The interval around an area of that standard deviation. A perfect area has none: no image
    tells how far the next one may be off."""
    from scipy.special import expit, logit
    from scipy.stats import norm

    if not 0 < value < 1 or deviation == 0:
        return Figure(value=value)
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * deviation / (value * (1 - value))
    centre = float(logit(value))
    return Figure(
        value=value,
        low=float(expit(centre - reach)),
        high=float(expit(centre + reach)),
        by="delong",
    )
