"""Shares of images, and the difference of two predictors on the same images.

A share has Wilson's score interval (1927), by SciPy. Two predictors that saw the same images are
compared image by image: what both get right or both get wrong says nothing of which is better. The
test is McNemar's (1947) in its exact form, a binomial one on the images that only one of them gets
right: it never alarms more often than it says. The interval of the difference is Bonett and Price's
(2012): Wald's with one image added to each of the two discordant counts, which holds where one of
them or both are 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from deploybench.statistics.figures import Figure
from deploybench.statistics.samples import CONFIDENCE

Booleans = npt.NDArray[np.bool_]

DEFAULT_QUALITY_MARGIN = 0.01
"""Within a percentage point two predictors are called the same, unless the user says otherwise."""


class QualityAnswer(str, Enum):
    """Is the candidate better than the baseline? AMBIGUOUS: it takes more images to tell."""

    SAME = "SAME"
    BETTER = "BETTER"
    WORSE = "WORSE"
    AMBIGUOUS = "AMBIGUOUS"


@dataclass(frozen=True)
class PairedDifference:
    """Candidate minus baseline, of the share of images that each gets right.

    ``p_value`` is that of McNemar's exact test that neither is better.
    """

    value: float
    low: float
    high: float
    images: int
    only_baseline: int
    only_candidate: int
    p_value: float


def share(right: int, count: int) -> Figure:
    """``right`` of ``count`` (at least 1) with Wilson's interval."""
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(CONFIDENCE, method="wilson")
    return Figure(
        value=right / count, low=float(interval.low), high=float(interval.high), by="wilson"
    )


def paired_difference(baseline: Booleans, candidate: Booleans) -> PairedDifference:
    """The difference of two predictors on the same images, one truth value an image.

    Raises ValueError without images, or where the two differ in their number.
    """
    if len(baseline) != len(candidate) or not len(baseline):
        raise ValueError(f"of {len(baseline)} and {len(candidate)} none can be paired")
    only_baseline = int(np.count_nonzero(baseline & ~candidate))
    only_candidate = int(np.count_nonzero(candidate & ~baseline))
    return difference_of_counts(only_baseline, only_candidate, len(baseline))


def difference_of_counts(only_baseline: int, only_candidate: int, images: int) -> PairedDifference:
    """The same from how many of the ``images`` only one of the two gets right."""
    from scipy.stats import norm

    value = (only_candidate - only_baseline) / images
    # Bonett and Price: one image more on each side, and two in all.
    lost = (only_baseline + 1) / (images + 2)
    won = (only_candidate + 1) / (images + 2)
    centre = won - lost
    deviation = math.sqrt((won + lost - centre**2) / (images + 2))
    reach = float(norm.ppf((1 + CONFIDENCE) / 2)) * deviation
    return PairedDifference(
        value=value,
        low=max(min(centre - reach, value), -1.0),
        high=min(max(centre + reach, value), 1.0),
        images=images,
        only_baseline=only_baseline,
        only_candidate=only_candidate,
        p_value=mcnemar(only_baseline, only_candidate),
    )


def mcnemar(only_baseline: int, only_candidate: int) -> float:
    """How likely a split of the discordant images at least as uneven is, were neither better."""
    from scipy.stats import binomtest

    discordant = only_baseline + only_candidate
    if discordant == 0:
        return 1.0
    return float(binomtest(only_baseline, discordant, 0.5).pvalue)


def quality_answer(
    difference: PairedDifference | None,
    margin: float = DEFAULT_QUALITY_MARGIN,
    *,
    alike: bool = False,
) -> QualityAnswer:
    """What the interval says, as :func:`deploybench.statistics.ratios.answer` does of speeds.

    SAME when the whole interval is within ``margin`` of 0; BETTER or WORSE when the interval
    excludes 0 and its centre is not within the margin; else AMBIGUOUS. ``alike`` says that the two
    give every image the same class with hardly another probability: such two are the SAME however
    few the images, because one computes what the other does.
    """
    if alike:
        return QualityAnswer.SAME
    if difference is None:
        return QualityAnswer.AMBIGUOUS
    if -margin <= difference.low and difference.high <= margin:
        return QualityAnswer.SAME
    if abs(difference.value) <= margin or difference.low <= 0 <= difference.high:
        return QualityAnswer.AMBIGUOUS
    if difference.value > 0:
        return QualityAnswer.BETTER
    return QualityAnswer.WORSE
