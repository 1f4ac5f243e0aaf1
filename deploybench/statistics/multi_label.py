"""How good a classifier is that may give an image any number of labels.

A label is given from a probability of one half on. Sensitivity, specificity, F1 and the area under
the ROC curve are means over the labels that have one, each label weighing the same; a label without
images, or without images that lack it, has no area and is named. What is not known of an image
(NOT_KNOWN) decides nothing: it is neither right nor wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deploybench.statistics.areas import Area, area_of, mean_area
from deploybench.statistics.bootstrap import RESAMPLES, interval_of, resamples_of
from deploybench.statistics.figures import Figure
from deploybench.statistics.proportions import share
from deploybench.statistics.quality import FEWEST_EACH_WAY, ClassFigures, Scores

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer]
Booleans = npt.NDArray[np.bool_]

NOT_KNOWN = -1
THRESHOLD = 0.5


@dataclass(frozen=True)
class MultiLabel:
    """All figures of one classifier on one set of images; None where a figure is not defined.

    ``exact_match`` is the share of images of which every known label is right (``right``, by
    image), among those of which any is known; ``label_accuracy`` that of all known labels.
    """

    images: int
    exact_match: Figure
    label_accuracy: Figure
    sensitivity: Figure | None
    specificity: Figure | None
    f1: Figure | None
    area: Figure | None
    classes: tuple[ClassFigures, ...]
    without_area: tuple[int, ...]
    right: Booleans


@dataclass(frozen=True)
class _Counts:
    """Of each label: images that have it and are given it, and the three other ways. The last
    dimension is the labels."""

    hits: Floats
    missed: Floats
    wrong: Floats
    spared: Floats

    def sensitivity(self) -> Floats:
        return _ratio(self.hits, self.hits + self.missed)

    def specificity(self) -> Floats:
        return _ratio(self.spared, self.spared + self.wrong)

    def f1(self) -> Floats:
        """Not defined for a label that no image has."""
        f1 = _ratio(2 * self.hits, 2 * self.hits + self.missed + self.wrong)
        return np.where(self.hits + self.missed > 0, f1, np.nan)


def multi_label(
    scores: Scores, truth: Integers, *, resamples: int = RESAMPLES, seed: int = 0
) -> MultiLabel:
    """The figures of ``scores`` (images x labels, probabilities) against the truth (1, 0, or
    NOT_KNOWN), of the same shape. Raises ValueError without images, or without a known label."""
    if scores.shape != truth.shape or not len(truth) or not (truth != NOT_KNOWN).any():
        raise ValueError(f"scores {scores.shape} do not go with labels {truth.shape}")
    images = len(truth)
    known = truth != NOT_KNOWN
    has = truth == 1
    given = np.asarray(scores[:, : truth.shape[1]]) >= THRESHOLD
    wrong_label = known & (given != has)
    judged = known.any(axis=1)
    right = judged & ~wrong_label.any(axis=1)
    ways = [(known & way).astype(float) for way in (has & given, has & ~given)]
    ways += [(known & way).astype(float) for way in (~has & given, ~has & ~given)]
    areas = [_area(scores, has, known, label) for label in range(truth.shape[1])]
    drawn = _drawn(ways, wrong_label, known, judged, right, areas, resamples, seed)
    counts = _Counts(*(way.sum(axis=0) for way in ways))
    defined = [area for area in areas if area is not None]
    mean = mean_area(defined, drawn["area"]) if defined else None
    matched, of = int(np.count_nonzero(right)), int(np.count_nonzero(judged))
    exact = interval_of(matched / of, drawn["exact"], least=0.0)
    if min(matched, of - matched) < FEWEST_EACH_WAY:
        exact = share(matched, of)
    return MultiLabel(
        images=images,
        exact_match=exact,
        label_accuracy=interval_of(
            1 - wrong_label.sum() / known.sum(), drawn["accuracy"], least=0.0
        ),
        sensitivity=_mean(counts.sensitivity(), drawn["sensitivity"]),
        specificity=_mean(counts.specificity(), drawn["specificity"]),
        f1=_mean(counts.f1(), drawn["f1"]),
        area=mean,
        classes=_by_label(counts, areas),
        without_area=tuple(index for index, one in enumerate(areas) if one is None),
        right=right,
    )


def _area(scores: Scores, has: Booleans, known: Booleans, label: int) -> Area | None:
    """The area of one label; its influence is of all images, of which some are not known."""
    of_label = known[:, label]
    column = np.asarray(scores[:, label], dtype=np.float64)[of_label]
    area = area_of(column, has[of_label, label])
    if area is None:
        return None
    influence = np.zeros(len(has))
    influence[of_label] = area.influence * len(has) / np.count_nonzero(of_label)
    return replace(area, influence=influence)


def _drawn(
    ways: Sequence[Floats],
    wrong_label: Booleans,
    known: Booleans,
    judged: Booleans,
    right: Booleans,
    areas: Sequence[Area | None],
    resamples: int,
    seed: int,
) -> dict[str, Floats]:
    """Every figure of every resample of the images; of the areas, by how much they moved."""
    images = len(right)
    pulls = [area.influence for area in areas if area is not None]
    pull = np.sum(pulls, axis=0) / len(pulls) / images if pulls else np.zeros(images)
    wrong, of_image = wrong_label.sum(axis=1), known.sum(axis=1)
    blocks: list[dict[str, Floats]] = []
    for times in resamples_of(images, resamples, seed):
        counts = _Counts(*(times @ way for way in ways))
        blocks.append(
            {
                "exact": times @ right / (times @ judged),
                "accuracy": 1 - (times @ wrong) / (times @ of_image),
                "sensitivity": _nan_mean(counts.sensitivity()),
                "specificity": _nan_mean(counts.specificity()),
                "f1": _nan_mean(counts.f1()),
                "area": times @ pull,
            }
        )
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _ratio(part: Floats, whole: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _nan_mean(values: Floats) -> Floats:
    """Over the labels, of those that are defined; NaN where none is."""
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0).sum(axis=-1)
    return _ratio(total, defined.sum(axis=-1))


def _mean(by_label: Floats, replicates: Floats) -> Figure | None:
    value = float(_nan_mean(by_label))
    if math.isnan(value):
        return None
    return interval_of(value, replicates, least=0.0)


def _by_label(counts: _Counts, areas: Sequence[Area | None]) -> tuple[ClassFigures, ...]:
    figures = []
    for index, area in enumerate(areas):
        hits, missed = int(counts.hits[index]), int(counts.missed[index])
        wrong, spared = int(counts.wrong[index]), int(counts.spared[index])
        figures.append(
            ClassFigures(
                images=hits + missed,
                predicted=hits + wrong,
                sensitivity=share(hits, hits + missed) if hits + missed else None,
                specificity=share(spared, spared + wrong) if spared + wrong else None,
                area=None if area is None else area.figure,
            )
        )
    return tuple(figures)
