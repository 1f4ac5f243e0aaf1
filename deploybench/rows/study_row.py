"""The row of a study: one model on one runner, how good it is, how fast, how large, and its places
in the three orders. Table, JSON and CSV print the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from deploybench.analysis.orders import Known, OrdersCompared, compared_orders, ranks
from deploybench.data.image_size import size_text
from deploybench.results.quality import AccuracyKind
from deploybench.results.record import Record
from deploybench.results.study import Failure, StudiedModel
from deploybench.results.verdict import Verdict
from deploybench.rows.quality_row import QualityRow, quality_rows
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from deploybench.statistics.proportions import DEFAULT_QUALITY_MARGIN

CellKey = tuple[str | None, str, str, str]
"""Artifact, runner, device, precision."""
BAD = (Verdict.FAILED, Verdict.INVALID)


@dataclass(frozen=True)
class Ranks:
    """The places of a row among the models of its runner, from 1 on; None where it has none.

    By MACs the model with the fewest is first, by latency the fastest, by accuracy the best.
    """

    macs: int | None = None
    latency: int | None = None
    accuracy: int | None = None


@dataclass(frozen=True)
class StudyRow:
    """One model on one runner; or, without a runner, a model of which nothing could be run.

    ``timing`` is the row of its time, ``quality`` that of its evaluation; None where there is none.
    ``failure`` says what could not be done. ``accuracy_kind`` is what its place by accuracy is by.
    """

    model: StudiedModel
    runner: str = ""
    device: str = ""
    precision: str = ""
    timing: Row | None = None
    quality: QualityRow | None = None
    failure: Failure | None = None
    ranks: Ranks = Ranks()
    accuracy_kind: AccuracyKind = "balanced"

    @property
    def place(self) -> tuple[str, str, str]:
        """Where it ran: rows of one place are ordered together."""
        return (self.runner, self.device, self.precision)

    @property
    def macs(self) -> int | None:
        """Multiply-adds of one image; None also where an operator could not be counted."""
        if self.timing is not None and not self.timing.macs_uncounted:
            return self.timing.macs_per_image
        if self.timing is None and self.quality is not None:
            return self.quality.macs_per_image
        return None

    @property
    def parameters(self) -> int | None:
        if self.timing is not None:
            return self.timing.parameters
        return None if self.quality is None else self.quality.parameters

    @property
    def latency(self) -> Known | None:
        """The undisturbed time of a call in ms."""
        if self.timing is None or self.timing.p50_ms is None:
            return None
        return Known.of(self.timing.p50_ms, self.timing.p50_low_ms, self.timing.p50_high_ms)

    @property
    def latency_valid(self) -> bool:
        return self.timing is not None and self.timing.verdict is Verdict.VALID

    @property
    def accuracy(self) -> Known | None:
        """The figure that models are ordered by."""
        return accuracy_of(self.quality, self.accuracy_kind)

    @property
    def verdict(self) -> Verdict:
        """The worse of that of the time and that of the evaluation."""
        if self.failure is not None:
            return Verdict.SKIPPED if self.failure.interrupted else Verdict.FAILED
        verdicts = [one.verdict for one in (self.timing, self.quality) if one is not None]
        for verdict in (*BAD, Verdict.SKIPPED):
            if verdict in verdicts:
                return verdict
        if self.timing is None:
            # It was evaluated; that it was not timed is seen in its row.
            return verdicts[0]
        return self.timing.verdict


@dataclass(frozen=True)
class Orders:
    """The orders of the models at one place, each compared with another one.

    By MACs and by time from the least on, by accuracy from the least accurate on. Models whose time
    is not VALID, ``doubted``, take no part where the time does.
    """

    runner: str
    device: str
    precision: str
    latency_by_macs: OrdersCompared | None
    accuracy_by_macs: OrdersCompared | None
    accuracy_by_latency: OrdersCompared | None
    doubted: tuple[str, ...] = ()


def study_rows(
    models: Sequence[StudiedModel],
    timed: Sequence[Record],
    evaluated: Sequence[Record],
    *,
    kind: AccuracyKind | None = None,
    margin: float = DEFAULT_QUALITY_MARGIN,
) -> list[StudyRow]:
    """The rows of all models, by where they ran and there by MACs; those that ran nowhere last.

    ``kind`` None is the balanced accuracy, or the AUC where an image has several labels.
    """
    timings = {_key_of_row(row): row for row in rows_of(timed) if row.main_state}
    qualities = {_key_of_quality(row): row for row in quality_rows(evaluated, (), margin)}
    chosen = kind or usual_kind(list(qualities.values()))
    rows: list[StudyRow] = []
    for model in models:
        found = list(_rows_of_model(model, timings, qualities))
        rows += [replace(row, accuracy_kind=chosen) for row in found]
    places = list(dict.fromkeys(row.place for row in rows if row.runner))
    ordered: list[StudyRow] = []
    for place in places:
        ordered += _ranked([row for row in rows if row.place == place])
    return [*ordered, *(row for row in rows if not row.runner)]


def usual_kind(qualities: Sequence[QualityRow]) -> AccuracyKind:
    """What models are ordered by where nobody says."""
    if any(row.labels == "multi-label" for row in qualities):
        return "auc"
    return "balanced"


def accuracy_of(row: QualityRow | None, kind: AccuracyKind) -> Known | None:
    """The figure of that kind; None where the evaluation has none."""
    if row is None:
        return None
    if kind == "balanced":
        value, low, high = (
            row.balanced_accuracy,
            row.balanced_accuracy_low,
            row.balanced_accuracy_high,
        )
    elif kind == "top-1":
        value, low, high = row.top1, row.top1_low, row.top1_high
    elif kind == "auc":
        value, low, high = row.auc, row.auc_low, row.auc_high
    else:
        value, low, high = row.accuracy, row.accuracy_low, row.accuracy_high
    return None if value is None else Known.of(value, low, high)


def orders_of(rows: Sequence[StudyRow]) -> list[Orders]:
    """The orders at each place where there are two models or more."""
    found = []
    for place in dict.fromkeys(row.place for row in rows if row.runner):
        there = [row for row in rows if row.place == place]
        if len(there) < 2:
            continue
        macs = {row.model.title: Known.of(row.macs) for row in there if row.macs is not None}
        times = {
            row.model.title: row.latency
            for row in there
            if row.latency is not None and row.latency_valid
        }
        accuracies = {row.model.title: row.accuracy for row in there if row.accuracy is not None}
        runner, device, precision = place
        found.append(
            Orders(
                runner=runner,
                device=device,
                precision=precision,
                latency_by_macs=compared_orders(macs, times),
                accuracy_by_macs=compared_orders(macs, accuracies),
                accuracy_by_latency=compared_orders(times, accuracies),
                doubted=tuple(
                    row.model.title
                    for row in there
                    if row.timing is not None and not row.latency_valid
                ),
            )
        )
    return found


def study_data(row: StudyRow, orders: Sequence[Orders]) -> dict[str, object]:
    """The row for a program: flat, every unit in the name; ``kendall_tau_*`` are of all models at
    its place."""
    timing, quality, trained = row.timing, row.quality, row.model.trained
    image_size = row.model.image_size
    shown_size = None if image_size is None else size_text(image_size)
    if timing is not None:
        shown_size = timing.image_size
    elif quality is not None:
        shown_size = quality.image_size
    failure = row.failure
    return {
        "model": row.model.title,
        "name": row.model.name,
        "image_size": shown_size,
        "patch_size": row.model.patch_size,
        "runner": row.runner,
        "device": row.device,
        "precision": row.precision,
        "recipe": None if trained is None else trained.recipe,
        "init_from": None if trained is None else trained.init_from,
        "trained_epochs": None if trained is None else trained.epochs,
        "best_epoch": None if trained is None else trained.best_epoch,
        "training_s": None if trained is None else trained.seconds,
        "checkpoint": None if trained is None else trained.checkpoint,
        **_quality_data(quality),
        **_timing_data(timing),
        "macs_per_image": row.macs if timing is None else timing.macs_per_image,
        "macs_uncounted": "" if timing is None else timing.macs_uncounted,
        "parameters": row.parameters,
        "rank_by_macs": row.ranks.macs,
        "rank_by_latency": row.ranks.latency,
        "rank_by_accuracy": row.ranks.accuracy,
        "accuracy_ranked_by": row.accuracy_kind,
        **_correlations(row, orders),
        "verdict": row.verdict.value,
        "failed_stage": None if failure is None else failure.stage,
        "failure": "" if failure is None else failure.reason,
        "advice": "" if failure is None else failure.advice,
    }


def _correlations(row: StudyRow, orders: Sequence[Orders]) -> dict[str, object]:
    """The rank correlations at the place of the row, all None where there is none."""
    latency_by_macs = accuracy_by_macs = accuracy_by_latency = None
    for order in orders:
        if (order.runner, order.device, order.precision) == row.place:
            latency_by_macs = order.latency_by_macs
            accuracy_by_macs = order.accuracy_by_macs
            accuracy_by_latency = order.accuracy_by_latency
    return {
        "kendall_tau_latency_macs": None if latency_by_macs is None else latency_by_macs.tau,
        "kendall_tau_accuracy_macs": None if accuracy_by_macs is None else accuracy_by_macs.tau,
        "kendall_tau_accuracy_latency": (
            None if accuracy_by_latency is None else accuracy_by_latency.tau
        ),
    }


def _quality_data(row: QualityRow | None) -> dict[str, object]:
    """The figures of an evaluation, all None where there is none."""
    names = [
        "data",
        "data_sha256",
        "split",
        "images_evaluated",
        "images_failed",
        *(
            f"{figure}{end}"
            for figure in ("accuracy", "top1", "top5", "balanced_accuracy", "auc", "kappa", "mcc")
            for end in ("", "_low", "_high")
        ),
        "accuracy_difference",
        "accuracy_difference_low",
        "accuracy_difference_high",
        "agreement",
        "flipped",
        "largest_shift",
    ]
    data: dict[str, object] = {name: None if row is None else getattr(row, name) for name in names}
    data["answer_beside_eager"] = None if row is None or row.answer is None else row.answer.value
    data["quality_verdict"] = None if row is None else row.verdict.value
    data["quality_reason"] = "" if row is None else row.reason
    return data


def _timing_data(row: Row | None) -> dict[str, object]:
    names = (
        "p50_ms",
        "p50_low_ms",
        "p50_high_ms",
        "undisturbed_basis",
        "undisturbed_known",
        "experienced_p50_ms",
        "experienced_p50_low_ms",
        "experienced_p50_high_ms",
        "p99_ms",
        "throughput_images_per_s",
        "peak_memory_mib",
        "device_memory_mib",
        "artifact_mib",
        "batch",
        "threads",
        "run",
        "host",
        "artifact_key",
        "command",
    )
    data: dict[str, object] = {name: None if row is None else getattr(row, name) for name in names}
    data["latency_verdict"] = None if row is None else row.verdict.value
    data["latency_reason"] = "" if row is None else row.reason
    return data


def _rows_of_model(
    model: StudiedModel,
    timings: Mapping[CellKey, Row],
    qualities: Mapping[CellKey, QualityRow],
) -> Iterator[StudyRow]:
    """Its cells; then its failed exports, each at the runner's place; then what else failed."""
    keys = [key for key in (*timings, *qualities) if key[0] in model.artifact_keys]
    for key in dict.fromkeys(keys):
        _, runner, device, precision = key
        yield StudyRow(
            model,
            runner,
            device,
            precision,
            timing=timings.get(key),
            quality=qualities.get(key),
        )
    for failure in model.failures:
        yield StudyRow(model, failure=failure)


def _ranked(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """The rows of one place with their ranks, the fewest MACs first; unknown ones last."""
    macs = {row.model.title: float(row.macs) for row in rows if row.macs is not None}
    times = {row.model.title: row.latency.value for row in rows if row.latency is not None}
    accuracies = {row.model.title: row.accuracy.value for row in rows if row.accuracy is not None}
    by_macs = ranks(macs)
    by_latency = ranks(times)
    by_accuracy = ranks(accuracies, most_first=True)
    ranked = []
    for row in rows:
        title = row.model.title
        places = Ranks(by_macs.get(title), by_latency.get(title), by_accuracy.get(title))
        ranked.append(replace(row, ranks=places))
    return sorted(ranked, key=lambda row: row.ranks.macs or len(rows) + 1)


def _key_of_row(row: Row) -> CellKey:
    return (row.artifact_key, row.runner, row.device, row.asked_precision)


def _key_of_quality(row: QualityRow) -> CellKey:
    return (row.artifact_key, row.runner, row.device, row.precision)
