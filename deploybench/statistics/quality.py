"""How good a classifier is: one class of several an image, from its probabilities and the truth.

Values are scikit-learn's. Top-k asks whether the true class is among the k most probable ones, in
the order that ``predict`` prints: of equal probabilities the first class comes first. Balanced
accuracy is the mean sensitivity of the classes that there are images of. Areas are one class
against the rest; a class without images, or without others beside it, has none and is named, never
counted as zero. Cohen's kappa is unweighted: classes have no order.

Intervals come from the same resamples of the images (``bootstrap.py``). A share with fewer than ten
images right or ten wrong has Wilson's instead, as each class has: of few images a bootstrap sees
too little. What a resample changes is computed for all resamples at once, from how many images of
each class there are, are predicted and are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from deploybench.statistics.areas import Area, area_of, mean_area
from deploybench.statistics.bootstrap import RESAMPLES, interval_of, resamples_of
from deploybench.statistics.calibration import calibration
from deploybench.statistics.figures import Figure
from deploybench.statistics.proportions import share

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

TOP = 5
FEWEST_EACH_WAY = 10
"""Images right, and images wrong, from which on a share is resampled."""
ROWS_AT_ONCE = 4096
COLUMNS_AT_ONCE = 64
"""Probabilities may lie in a file: it is read in parts."""


class Scores(Protocol):
    """An array (images, classes), or what looks like one: it is asked for some rows
    (``scores[rows]``) or some columns (``scores[:, columns]``) at a time."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, part: Any, /) -> Any: ...


@dataclass(frozen=True)
class ClassFigures:
    """One class: how many images have it and how many were given it, and how well it is told.

    ``sensitivity`` is the share of its images that are given the class, ``specificity`` that of the
    others that are not, ``area`` that under its ROC curve; None where there is no such image.
    """

    images: int
    predicted: int
    sensitivity: Figure | None
    specificity: Figure | None
    area: Figure | None


@dataclass(frozen=True)
class Classification:
    """All figures of one classifier on one set of images; None where a figure is not defined.

    ``right`` and ``predicted`` are by image. ``confusion`` holds (true class, predicted class,
    images) of every pair that occurs. ``without_area`` are the classes that ``area`` leaves out.
    """

    images: int
    top1: Figure
    top5: Figure | None
    balanced_accuracy: Figure
    specificity: Figure | None
    area: Figure | None
    kappa: Figure | None
    correlation: Figure | None
    calibration_error: Figure | None
    classes: tuple[ClassFigures, ...]
    without_area: tuple[int, ...]
    confusion: tuple[tuple[int, int, int], ...]
    predicted: Integers
    right: Booleans


def classification(
    scores: Scores,
    truth: Sequence[int] | Integers,
    *,
    sure: bool = True,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Classification:
    """The figures of ``scores`` (images x classes, probabilities) against the true class of each.

    ``sure`` False says that the scores only name a class: then nothing that needs how sure the
    classifier is has a figure. Raises ValueError without images, and for a class that there is no
    score of.
    """
    true = np.asarray(truth, dtype=np.int64)
    images, classes = scores.shape
    if not images or len(true) != images or true.min() < 0 or true.max() >= classes:
        raise ValueError(f"{images} rows of {classes} scores do not go with the classes given")
    predicted, rank, confidence = _read(scores, true)
    right = predicted == true
    in_top = rank < TOP
    several = len(np.unique(true)) > 1
    sums = _resampled(true, predicted, right, in_top, classes, resamples, seed)
    areas = _areas(scores, true, several and sure, resamples, seed)
    by_class = _by_class(true, predicted, right, classes, areas.figures)
    agreement = _agreement(true, predicted) if several else (None, None)
    return Classification(
        images=images,
        top1=_share(right, sums.top1),
        top5=_share(in_top, sums.top5) if sure and classes > TOP else None,
        balanced_accuracy=interval_of(_balanced(true, predicted), sums.balanced, least=0.0),
        specificity=_mean_specificity(by_class, sums.specificity),
        area=areas.mean,
        kappa=_figure(agreement[0], sums.kappa),
        correlation=_figure(agreement[1], sums.correlation),
        calibration_error=calibration(confidence, right, resamples, seed) if sure else None,
        classes=by_class,
        without_area=tuple(
            index for index, figures in enumerate(by_class) if sure and figures.area is None
        ),
        confusion=_confusion(true, predicted, classes),
        predicted=predicted,
        right=right,
    )


def _read(scores: Scores, true: Integers) -> tuple[Integers, Integers, Floats]:
    """By image: the most probable class, the place of the true one, and how sure the first is."""
    predicted = np.empty(len(true), dtype=np.int64)
    rank = np.empty(len(true), dtype=np.int64)
    confidence = np.empty(len(true))
    for first in range(0, len(true), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        rows = np.asarray(scores[part], dtype=np.float64)
        predicted[part] = rows.argmax(axis=1)
        confidence[part] = rows.max(axis=1)
        own = rows[np.arange(len(rows)), true[part]][:, None]
        earlier = np.arange(rows.shape[1]) < true[part][:, None]
        rank[part] = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return predicted, rank, confidence


@dataclass(frozen=True)
class _Sums:
    """Every figure of every resample; NaN where it is not defined in one."""

    top1: Floats
    top5: Floats
    balanced: Floats
    specificity: Floats
    kappa: Floats
    correlation: Floats


def _resampled(
    true: Integers,
    predicted: Integers,
    right: Booleans,
    in_top: Booleans,
    classes: int,
    resamples: int,
    seed: int,
) -> _Sums:
    from scipy.sparse import csr_matrix

    images = len(true)
    rows = np.arange(images)
    ones = np.ones(images)
    # Which class each image has, is given, and has and is given: images x classes, one 1 a row.
    of_true = csr_matrix((ones, (rows, true)), shape=(images, classes))
    of_predicted = csr_matrix((ones, (rows, predicted)), shape=(images, classes))
    of_right = csr_matrix((right.astype(float), (rows, true)), shape=(images, classes))
    blocks: list[tuple[Floats, ...]] = []
    for times in resamples_of(images, resamples, seed):
        have = times @ of_true
        given = times @ of_predicted
        hits = times @ of_right
        blocks.append(
            (
                hits.sum(axis=1) / images,
                times @ in_top / images,
                *_balanced_of(have, given, hits, images),
                *_agreement_of(have, given, hits, images),
            )
        )
    return _Sums(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _balanced_of(have: Floats, given: Floats, hits: Floats, images: int) -> tuple[Floats, Floats]:
    """The mean sensitivity and the mean specificity of the classes that a resample has."""
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = hits / have
        specificity = 1 - (given - hits) / (images - have)
    present = have > 0
    defined = present & (have < images)
    balanced = np.where(present, sensitivity, 0).sum(axis=1) / present.sum(axis=1)
    counted = defined.sum(axis=1)
    mean = np.where(defined, specificity, 0).sum(axis=1) / np.maximum(counted, 1)
    return balanced, np.where(counted > 0, mean, np.nan)


def _agreement_of(have: Floats, given: Floats, hits: Floats, images: int) -> tuple[Floats, Floats]:
    """Cohen's kappa and Matthews' coefficient (for several classes: Gorodkin 2004)."""
    agreed = hits.sum(axis=1)
    by_chance = (have * given).sum(axis=1)
    most = float(images) ** 2
    spread_true = most - (have**2).sum(axis=1)
    spread_given = most - (given**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = (images * agreed - by_chance) / (most - by_chance)
        correlation = (images * agreed - by_chance) / np.sqrt(spread_true * spread_given)
    # One predicted class only: it tells nothing, as scikit-learn has it. One true class: no figure.
    correlation = np.where(spread_given == 0, 0.0, correlation)
    lone = spread_true == 0
    return np.where(lone, np.nan, kappa), np.where(lone, np.nan, correlation)


def _agreement(true: Integers, predicted: Integers) -> tuple[float, float]:
    from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

    kappa = float(cohen_kappa_score(true, predicted))
    return kappa, float(matthews_corrcoef(true, predicted))


def _balanced(true: Integers, predicted: Integers) -> float:
    from sklearn.metrics import recall_score

    present = np.unique(true)
    return float(recall_score(true, predicted, labels=present, average="macro", zero_division=0))


def _share(successes: Booleans, replicates: Floats) -> Figure:
    count = int(np.count_nonzero(successes))
    if min(count, len(successes) - count) < FEWEST_EACH_WAY:
        return share(count, len(successes))
    return interval_of(count / len(successes), replicates, least=0.0)


def _figure(value: float | None, replicates: Floats) -> Figure | None:
    if value is None or math.isnan(value):
        return None
    return interval_of(value, replicates)


def _mean_specificity(classes: Sequence[ClassFigures], replicates: Floats) -> Figure | None:
    """Over the classes that there are images of, like the sensitivity."""
    values = [one.specificity.value for one in classes if one.images and one.specificity]
    if not values:
        return None
    return interval_of(math.fsum(values) / len(values), replicates, least=0.0)


@dataclass(frozen=True)
class _Areas:
    figures: dict[int, Figure]
    mean: Figure | None


def _areas(scores: Scores, true: Integers, wanted: bool, resamples: int, seed: int) -> _Areas:
    """The area of every class that has one, and their mean with its resamples."""
    areas: dict[int, Area] = {}
    influence = np.zeros(len(true))
    for first in range(0, scores.shape[1] if wanted else 0, COLUMNS_AT_ONCE):
        columns = np.asarray(scores[:, first : first + COLUMNS_AT_ONCE], dtype=np.float64)
        for offset in range(columns.shape[1]):
            area = area_of(columns[:, offset], true == first + offset)
            if area is not None:
                influence += area.influence
                areas[first + offset] = replace(area, influence=np.empty(0))  # added up already
    if not areas:
        return _Areas({}, None)
    pull = influence / len(areas) / len(true)
    moved = np.concatenate([times @ pull for times in resamples_of(len(true), resamples, seed)])
    figures = {index: area.figure for index, area in areas.items()}
    return _Areas(figures, mean_area(list(areas.values()), moved))


def _by_class(
    true: Integers,
    predicted: Integers,
    right: Booleans,
    classes: int,
    areas: dict[int, Figure],
) -> tuple[ClassFigures, ...]:
    images = len(true)
    have = np.bincount(true, minlength=classes).tolist()
    given = np.bincount(predicted, minlength=classes).tolist()
    hits = np.bincount(true[right], minlength=classes).tolist()
    figures = []
    for index in range(classes):
        sensitivity = specificity = None
        if have[index]:
            sensitivity = share(hits[index], have[index])
        others = images - have[index]
        if others:
            wrongly = given[index] - hits[index]
            specificity = share(others - wrongly, others)
        figures.append(
            ClassFigures(
                images=have[index],
                predicted=given[index],
                sensitivity=sensitivity,
                specificity=specificity,
                area=areas.get(index),
            )
        )
    return tuple(figures)


def _confusion(
    true: Integers, predicted: Integers, classes: int
) -> tuple[tuple[int, int, int], ...]:
    """The pairs that occur, from the first true class on; of many classes most do not."""
    pairs, counts = np.unique(true * classes + predicted, return_counts=True)
    return tuple(
        (int(pair) // classes, int(pair) % classes, int(count))
        for pair, count in zip(pairs, counts, strict=True)
    )
