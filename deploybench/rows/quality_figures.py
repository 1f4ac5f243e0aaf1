"""What the rows of both tables show of a quality, of times and of evaluations: all None where there
is none."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.analysis.qualities import answer_beside_eager
from deploybench.results.quality import Quality
from deploybench.statistics.proportions import DEFAULT_QUALITY_MARGIN, QualityAnswer


@dataclass(frozen=True, kw_only=True)
class QualityFigures:
    """The share of images that are right, and how that stands to fp32 eager."""

    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_of: str = ""
    images: int | None = None
    data: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    answer: QualityAnswer | None = None
    agreement: float | None = None
    largest_shift: float | None = None


def quality_figures(
    quality: Quality | None, margin: float = DEFAULT_QUALITY_MARGIN
) -> QualityFigures:
    if quality is None:
        return QualityFigures()
    accuracy = quality.accuracy
    kind = ""
    if quality.figures is not None and accuracy is not None:
        kind = "top-1" if quality.figures.top1 is not None else "all labels"
    difference = agreement = None
    if quality.eager is not None:
        difference = quality.eager.difference
        agreement = quality.eager.agreement
    return QualityFigures(
        accuracy=None if accuracy is None else accuracy.value,
        accuracy_low=None if accuracy is None else accuracy.low,
        accuracy_high=None if accuracy is None else accuracy.high,
        accuracy_of=kind,
        images=quality.data.evaluated,
        data=quality.data.name,
        difference=None if difference is None else difference.value,
        difference_low=None if difference is None else difference.low,
        difference_high=None if difference is None else difference.high,
        answer=answer_beside_eager(quality, margin),
        agreement=None if agreement is None else agreement.top1.value,
        largest_shift=None if agreement is None else agreement.largest_shift,
    )
