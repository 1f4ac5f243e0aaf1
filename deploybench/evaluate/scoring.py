"""From predictions by image to the quality of a cell, and to the difference from fp32 eager."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.task import Task
from deploybench.data.dataset import DataSet
from deploybench.evaluate.answers import Probabilities
from deploybench.evaluate.journal import Predictions
from deploybench.results.quality import (
    MOST_LISTED,
    AgainstEager,
    ClassQuality,
    DataSeen,
    Difference,
    FailedImage,
    Figures,
    Labels,
    Marks,
    Quality,
)
from deploybench.statistics.bootstrap import RESAMPLES
from deploybench.statistics.multi_label import MultiLabel, multi_label
from deploybench.statistics.proportions import paired_difference
from deploybench.statistics.quality import ClassFigures, Classification, classification

Booleans = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Evaluated:
    """What one cell says of the images: ``images`` (numbers in the data's order) and, row by row,
    their probabilities. ``classes`` are the names, in the model's order."""

    images: Integers
    probabilities: Probabilities
    failed: dict[int, str]
    classes: tuple[str, ...]
    multi_label: bool


@dataclass(frozen=True)
class Scored:
    """The figures of one cell; ``right`` is by image of the data, None without labels."""

    figures: Figures
    classes: tuple[ClassQuality, ...]
    without_area: tuple[str, ...]
    confusion: tuple[tuple[int, int, int], ...]
    right: Booleans


def evaluated_of(
    predictions: Predictions, task: Task, classes: Sequence[str], numbers: int
) -> Evaluated:
    """The predictions as answers to the task; ``numbers`` is how many classes there are."""
    names = tuple(classes) or tuple(f"class {index}" for index in range(numbers))
    return Evaluated(
        images=predictions.images,
        probabilities=Probabilities(predictions.outputs, task, numbers),
        failed=predictions.failed,
        classes=names,
        multi_label=task.kind == "multi_label",
    )


def scored(
    evaluated: Evaluated, data: DataSet, *, resamples: int = RESAMPLES, seed: int = 0
) -> Scored:
    """Hold the answers against the labels of ``data``, whose classes are the model's."""
    if evaluated.multi_label:
        truth = data.targets()[evaluated.images]
        several = multi_label(evaluated.probabilities, truth, resamples=resamples, seed=seed)
        figures = Figures(
            exact_match=several.exact_match,
            label_accuracy=several.label_accuracy,
            sensitivity=several.sensitivity,
            specificity=several.specificity,
            f1=several.f1,
            area=several.area,
        )
        return _scored(several, figures, (), evaluated, len(data))
    labels = np.array([(example.labels or (-1,))[0] for example in data.examples], dtype=np.int64)
    single = classification(
        evaluated.probabilities,
        labels[evaluated.images],
        sure=evaluated.probabilities.sure,
        resamples=resamples,
        seed=seed,
    )
    figures = Figures(
        top1=single.top1,
        top5=single.top5,
        balanced_accuracy=single.balanced_accuracy,
        specificity=single.specificity,
        area=single.area,
        kappa=single.kappa,
        correlation=single.correlation,
        calibration_error=single.calibration_error,
    )
    return _scored(single, figures, single.confusion, evaluated, len(data))


def _scored(
    found: Classification | MultiLabel,
    figures: Figures,
    confusion: tuple[tuple[int, int, int], ...],
    evaluated: Evaluated,
    images: int,
) -> Scored:
    """What both kinds of labels have: classes by name, and which of all ``images`` are right."""
    right = np.zeros(images, dtype=np.bool_)
    right[evaluated.images] = found.right
    return Scored(
        figures=figures,
        classes=_classes(found.classes, evaluated.classes),
        without_area=tuple(evaluated.classes[index] for index in found.without_area),
        confusion=confusion,
        right=right,
    )


def difference_of(baseline: Booleans, candidate: Booleans, both: Booleans) -> Difference | None:
    """The candidate's accuracy less the baseline's, on the images that ``both`` saw."""
    if not both.any():
        return None
    # The document has the fields of the figure.
    return Difference(**vars(paired_difference(baseline[both], candidate[both])))


def quality_of(
    evaluated: Evaluated,
    data: DataSet,
    seen: DataSeen,
    task: Task,
    score: Scored | None,
    *,
    classes_from: str,
    preprocessing: str,
    eager: AgainstEager | None,
    no_eager: str,
    artifact_sha256: str = "",
    seed: int = 0,
) -> Quality:
    """The document. ``score`` is None without labels."""
    failed = [
        FailedImage(image=data.place(data.examples[image]), reason=reason)
        for image, reason in sorted(evaluated.failed.items())[:MOST_LISTED]
    ]
    marks = np.zeros(len(data), dtype=np.bool_)
    marks[evaluated.images] = True
    quality = Quality(
        data=seen,
        artifact_sha256=artifact_sha256,
        task=task.words,
        classes_from=classes_from,
        preprocessing=preprocessing,
        failed_count=len(evaluated.failed),
        failed=tuple(failed),
        seen=Marks.of(marks),
        eager=eager,
        no_eager=no_eager,
    )
    if score is None:
        return quality
    return quality.replaced(
        figures=score.figures,
        classes=score.classes,
        without_area=score.without_area,
        confusion=score.confusion,
        right=Marks.of(score.right),
        resamples=RESAMPLES,
        seed=seed,
    )


def data_seen(
    data: DataSet, evaluated: Evaluated, sha256: str, split: str | None, *, labelled: bool
) -> DataSeen:
    """What was evaluated on."""
    labels: Labels = "none"
    if labelled:
        labels = data.task
    return DataSeen(
        name=data.name,
        path=str(data.root),
        form=data.form,
        sha256=sha256,
        split=split,
        labels=labels,
        images=len(data),
        evaluated=len(evaluated.images),
        class_counts=data.counts() if labelled else (),
        synthetic=data.synthetic,
        notes=data.notes,
    )


def _classes(figures: Sequence[ClassFigures], names: Sequence[str]) -> tuple[ClassQuality, ...]:
    """Every class that there are images of, or that was given to one."""
    return tuple(
        ClassQuality(
            index=index,
            name=name,
            images=one.images,
            predicted=one.predicted,
            sensitivity=one.sensitivity,
            specificity=one.specificity,
            area=one.area,
        )
        for index, (one, name) in enumerate(zip(figures, names, strict=True))
        if one.images or one.predicted
    )
