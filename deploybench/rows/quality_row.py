"""The row of an evaluation: flat; table, JSON and CSV print the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.qualities import quality_key
from deploybench.data.image_size import size_text
from deploybench.results.quality import Figures
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.rows.quality_figures import quality_figures
from deploybench.statistics.figures import Figure
from deploybench.statistics.proportions import DEFAULT_QUALITY_MARGIN, QualityAnswer

NO_FIGURES = Figures()


@dataclass(frozen=True, kw_only=True)
class QualityRow:
    """One cell on one set of images. Shares are between 0 and 1; None where there is no figure.

    ``form`` is the artifact's own precision, batch and graph. ``accuracy`` is the share of images
    that are right: ``top1``, or of several labels an image the share with all of them right.
    ``accuracy_difference`` is to fp32 eager, paired by image, and ``agreement`` the share of images
    with the same answer as fp32 eager's. ``p50_ms`` is the time of a call of ``timed_batch``
    images, where the same cell was timed.
    """

    model: str
    weights: str
    image_size: str
    runner: str
    device: str
    precision: str
    batch: int
    form: str = ""
    options: str = ""
    data: str = ""
    data_sha256: str = ""
    split: str | None = None
    labels: str = "none"
    classes_from: str = ""
    task: str = ""
    images: int | None = None
    images_evaluated: int | None = None
    images_failed: int | None = None
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    top1: float | None = None
    top1_low: float | None = None
    top1_high: float | None = None
    top5: float | None = None
    top5_low: float | None = None
    top5_high: float | None = None
    balanced_accuracy: float | None = None
    balanced_accuracy_low: float | None = None
    balanced_accuracy_high: float | None = None
    sensitivity: float | None = None
    sensitivity_low: float | None = None
    sensitivity_high: float | None = None
    specificity: float | None = None
    specificity_low: float | None = None
    specificity_high: float | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    auc_without: str = ""
    kappa: float | None = None
    kappa_low: float | None = None
    kappa_high: float | None = None
    mcc: float | None = None
    mcc_low: float | None = None
    mcc_high: float | None = None
    calibration_error: float | None = None
    calibration_error_low: float | None = None
    calibration_error_high: float | None = None
    label_accuracy: float | None = None
    label_accuracy_low: float | None = None
    label_accuracy_high: float | None = None
    f1: float | None = None
    f1_low: float | None = None
    f1_high: float | None = None
    compared_with: str | None = None
    accuracy_difference: float | None = None
    accuracy_difference_low: float | None = None
    accuracy_difference_high: float | None = None
    p_value: float | None = None
    answer: QualityAnswer | None = None
    agreement: float | None = None
    agreement_top5: float | None = None
    flipped: int | None = None
    largest_shift: float | None = None
    mean_shift: float | None = None
    not_compared: str = ""
    stands_for: str = ""
    p50_ms: float | None = None
    timed_batch: int | None = None
    macs_per_image: int | None = None
    parameters: int | None = None
    parity_max_error: float | None = None
    parity_accepted: str = ""
    verdict: Verdict
    reason: str
    advice: str
    profile: str
    run: str
    host: str
    artifact_key: str | None = None
    assumed: str = ""
    command: str


def quality_rows(
    records: Sequence[Record],
    timed: Sequence[Record] = (),
    margin: float = DEFAULT_QUALITY_MARGIN,
) -> list[QualityRow]:
    """A row a record. ``timed`` are records of cells that were timed; ``margin`` is what counts as
    the same."""
    times: dict[tuple[str | None, ...], Record] = {}
    for record in timed:
        # The smallest batch is the time of an answer; of one that was timed twice, the first.
        known = times.get(quality_key(record))
        has_time = record.summary is not None and bool(record.summary.states)
        if has_time and (known is None or record.cell.batch < known.cell.batch):
            times[quality_key(record)] = record
    return [_row(record, times.get(quality_key(record)), margin) for record in records]


def _row(record: Record, timed: Record | None, margin: float) -> QualityRow:
    cell, quality = record.cell, record.quality
    p50_ms = timed_batch = None
    if timed is not None and timed.summary is not None:
        p50_ms = timed.summary.states[0].p50_ms
        timed_batch = timed.cell.batch
    figures = NO_FIGURES
    if quality is not None and quality.figures is not None:
        figures = quality.figures
    # What the comparison table shows as well is read by the same reader.
    shown = quality_figures(quality, margin)
    eager = None if quality is None else quality.eager
    agreement = None if eager is None else eager.agreement
    difference = None if eager is None else eager.difference
    data = None if quality is None else quality.data
    return QualityRow(
        model=cell.model,
        weights=cell.weights,
        image_size=size_text(cell.image_size),
        runner=cell.runner,
        device=cell.device,
        precision=cell.precision,
        batch=cell.batch,
        form=cell.form,
        options=", ".join(cell.option_titles),
        data="" if data is None else data.path,
        data_sha256="" if data is None else data.sha256,
        split=None if data is None else data.split,
        labels="none" if data is None else data.labels,
        classes_from="" if quality is None else quality.classes_from,
        task="" if quality is None else quality.task,
        images=None if data is None else data.images,
        images_evaluated=shown.images,
        images_failed=None if quality is None else quality.failed_count,
        accuracy=shown.accuracy,
        accuracy_low=shown.accuracy_low,
        accuracy_high=shown.accuracy_high,
        top1=_value(figures.top1),
        top1_low=_low(figures.top1),
        top1_high=_high(figures.top1),
        top5=_value(figures.top5),
        top5_low=_low(figures.top5),
        top5_high=_high(figures.top5),
        balanced_accuracy=_value(figures.balanced_accuracy),
        balanced_accuracy_low=_low(figures.balanced_accuracy),
        balanced_accuracy_high=_high(figures.balanced_accuracy),
        sensitivity=_value(figures.sensitivity),
        sensitivity_low=_low(figures.sensitivity),
        sensitivity_high=_high(figures.sensitivity),
        specificity=_value(figures.specificity),
        specificity_low=_low(figures.specificity),
        specificity_high=_high(figures.specificity),
        auc=_value(figures.area),
        auc_low=_low(figures.area),
        auc_high=_high(figures.area),
        auc_without="" if quality is None else ", ".join(quality.without_area),
        kappa=_value(figures.kappa),
        kappa_low=_low(figures.kappa),
        kappa_high=_high(figures.kappa),
        mcc=_value(figures.correlation),
        mcc_low=_low(figures.correlation),
        mcc_high=_high(figures.correlation),
        calibration_error=_value(figures.calibration_error),
        calibration_error_low=_low(figures.calibration_error),
        calibration_error_high=_high(figures.calibration_error),
        label_accuracy=_value(figures.label_accuracy),
        label_accuracy_low=_low(figures.label_accuracy),
        label_accuracy_high=_high(figures.label_accuracy),
        f1=_value(figures.f1),
        f1_low=_low(figures.f1),
        f1_high=_high(figures.f1),
        compared_with=None if eager is None else eager.runner,
        accuracy_difference=shown.difference,
        accuracy_difference_low=shown.difference_low,
        accuracy_difference_high=shown.difference_high,
        p_value=None if difference is None else difference.p_value,
        answer=shown.answer,
        agreement=shown.agreement,
        agreement_top5=None if agreement is None else agreement.top5,
        flipped=None if agreement is None else agreement.flipped,
        largest_shift=shown.largest_shift,
        mean_shift=None if agreement is None else agreement.mean_shift,
        not_compared="" if quality is None else quality.no_eager,
        stands_for="" if eager is None else eager.stands_for,
        p50_ms=p50_ms,
        timed_batch=timed_batch,
        macs_per_image=record.macs,
        parameters=record.parameters,
        parity_max_error=None if record.parity is None else record.parity.max_error,
        parity_accepted="" if record.parity is None else record.parity.accepted,
        verdict=record.judgement.verdict,
        reason=record.judgement.reason,
        advice=record.judgement.advice,
        profile=record.profile,
        run=record.run,
        host=record.host.hostname,
        artifact_key=cell.artifact_key,
        assumed="; ".join(record.assumed),
        command=record.command,
    )


def _value(figure: Figure | None) -> float | None:
    return None if figure is None else figure.value


def _low(figure: Figure | None) -> float | None:
    return None if figure is None else figure.low


def _high(figure: Figure | None) -> float | None:
    return None if figure is None else figure.high
