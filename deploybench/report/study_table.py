"""What ``study`` prints: the answer, one table of accuracy, latency and size, and the orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.report.figures import AMBIGUOUS_MARK, AT_LEAST, VERDICT_STYLES, three_digits
from deploybench.report.quality_cells import INTERVALS, agreement_share, share_text
from deploybench.report.run_cells import experienced_text, half_width_text, memory_text, p50_text
from deploybench.report.run_notes import notes_of
from deploybench.report.study_text import (
    agreement_lines,
    answer_lines,
    data_lines,
    order_lines,
    training_lines,
)
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, Table, table_of
from deploybench.results.quality import AccuracyKind
from deploybench.results.record import Record
from deploybench.results.study import StudiedModel
from deploybench.results.verdict import Verdict
from deploybench.rows.quality_row import QualityRow
from deploybench.rows.study_row import (
    StudyRow,
    orders_of,
    study_data,
    study_rows,
)
from deploybench.statistics.proportions import DEFAULT_QUALITY_MARGIN

UNMEASURED = "not measured"
ORDER_TITLE = "Is one order the other?"
MOST_DECIMALS_UNDER_GMAC = 0.1


def study_report(
    models: Sequence[StudiedModel],
    timed: Sequence[Record],
    evaluated: Sequence[Record],
    *,
    notes: Sequence[str] = (),
    kind: AccuracyKind | None = None,
    margin: float = DEFAULT_QUALITY_MARGIN,
) -> Report:
    """The models of one study with the records of their cells; JSON and CSV hold the rows.

    ``notes`` say what was decided about the data, ``kind`` is the figure of quality that models are
    ordered by, ``margin`` what counts as the same as fp32 eager.
    """
    rows = study_rows(models, timed, evaluated, kind=kind, margin=margin)
    orders = orders_of(rows)
    data = [study_data(row, orders) for row in rows]
    sections: list[Table | Prose] = []
    about = [*data_lines(evaluated), *notes, *training_lines(models)]
    if about:
        sections.append(Prose(tuple(about), Style.FAINT))
    answer = answer_lines(rows)
    if answer:
        sections.append(Prose(tuple(answer), title="The answer"))
    columns = [column for column in COLUMNS if _shown(column, rows)]
    sections.append(
        table_of(
            columns,
            rows,
            group=_title(rows),
            name=_name,
            notes=_notes,
            legend=_legend(rows),
            data=lambda row: study_data(row, orders),
        )
    )
    agreement = agreement_lines(rows)
    if agreement:
        sections.append(Prose(tuple(agreement)))
    compared = order_lines(orders, rows)
    if compared:
        sections.append(Prose(tuple(compared), title=ORDER_TITLE))
    return Report(tuple(sections), data)


def _share(name: str) -> Callable[[StudyRow], str]:
    """A share of images with its interval, in percent."""

    def write(row: StudyRow) -> str:
        quality = row.quality
        if quality is None:
            return NOTHING
        return share_text(
            getattr(quality, name),
            getattr(quality, f"{name}_low"),
            getattr(quality, f"{name}_high"),
        )

    return write


def _all_right(row: StudyRow) -> str:
    quality = row.quality
    if quality is None or quality.top1 is not None:
        return NOTHING
    return share_text(quality.accuracy, quality.accuracy_low, quality.accuracy_high)


def _area(row: StudyRow) -> str:
    quality = row.quality
    if quality is None or quality.auc is None:
        return NOTHING
    if quality.auc_low is None or quality.auc_high is None:
        return f"{quality.auc:.3f}"
    reach = max(quality.auc - quality.auc_low, quality.auc_high - quality.auc)
    return f"{quality.auc:.3f} ±{reach:.3f}"


def _agreement(row: StudyRow) -> str:
    return NOTHING if row.quality is None else agreement_share(row.quality.agreement)


def _time(row: StudyRow) -> str:
    return NOTHING if row.timing is None else p50_text(row.timing)


def _width(row: StudyRow) -> str:
    return NOTHING if row.timing is None else half_width_text(row.timing)


def _met(row: StudyRow) -> str:
    return NOTHING if row.timing is None else experienced_text(row.timing)


def _memory(row: StudyRow) -> str:
    return NOTHING if row.timing is None else memory_text(row.timing)


def _gigamacs(row: StudyRow) -> str:
    """MACs of one image; at least so many where an operator could not be counted."""
    macs = row.macs
    mark = ""
    if macs is None and row.timing is not None and row.timing.macs_per_image is not None:
        macs = row.timing.macs_per_image
        mark = f"{AT_LEAST} "
    if macs is None:
        return NOTHING
    gigas = macs / 1e9
    if gigas >= MOST_DECIMALS_UNDER_GMAC:
        return f"{mark}{gigas:.2f}"
    return f"{mark}{gigas:.4f}"


def _parameters(row: StudyRow) -> str:
    return NOTHING if row.parameters is None else three_digits(row.parameters / 1e6)


def _rank_by_macs(row: StudyRow) -> str:
    return NOTHING if row.ranks.macs is None else str(row.ranks.macs)


def _rank_by_latency(row: StudyRow) -> str:
    """With a question mark where the time is not VALID: its place may be another one."""
    if row.ranks.latency is None:
        return NOTHING
    mark = "" if row.latency_valid else AMBIGUOUS_MARK
    return f"{row.ranks.latency}{mark}"


def _rank_by_accuracy(row: StudyRow) -> str:
    return NOTHING if row.ranks.accuracy is None else str(row.ranks.accuracy)


def _size(row: StudyRow) -> str:
    for part in (row.timing, row.quality):
        if part is not None:
            return part.image_size
    return NOTHING


COLUMNS: tuple[Column[StudyRow], ...] = (
    Column("model", "model", lambda row: row.model.title),
    Column("size", "image", _size, priority=3),
    Column("top1", "top-1", _share("top1"), unit="%", number=True),
    Column("all_right", "all labels right", _all_right, unit="%", number=True),
    Column("balanced", "balanced", _share("balanced_accuracy"), unit="%", number=True),
    Column("auc", "AUC", _area, number=True),
    Column("agreement", "agree", _agreement, number=True, priority=4),
    Column("p50_ms", "p50", _time, unit="ms", number=True),
    Column("half_width", "±", _width, number=True),
    Column("experienced_p50_ms", "met p50", _met, number=True, priority=2),
    Column("macs", "GMAC", _gigamacs, number=True),
    Column("parameters", "M par", _parameters, number=True, priority=2),
    Column("peak_mib", "peak MB", _memory, number=True, priority=2),
    Column("rank_by_macs", "#MACs", _rank_by_macs, number=True),
    Column("rank_by_latency", "#time", _rank_by_latency, number=True),
    Column("rank_by_accuracy", "#acc", _rank_by_accuracy, number=True),
    Column(
        "verdict",
        "verdict",
        lambda row: row.verdict.value,
        style=lambda row: VERDICT_STYLES[row.verdict],
    ),
)
ALWAYS = ("model", "p50_ms", "verdict")


def _shown(column: Column[StudyRow], rows: Sequence[StudyRow]) -> bool:
    """Whether any row has something to say there."""
    if column.key in ALWAYS:
        return True
    if column.key == "size":
        return len({column.show(row) for row in rows} - {NOTHING}) > 1
    return any(column.show(row) != NOTHING for row in rows)


def _title(rows: Sequence[StudyRow]) -> Callable[[StudyRow], str]:
    """The place, in as many words as tell the places apart."""
    several_devices = len({row.device for row in rows if row.runner}) > 1

    def write(row: StudyRow) -> str:
        if not row.runner:
            return UNMEASURED
        parts = [row.runner]
        if several_devices or row.device != CPU:
            parts.append(row.device)
        parts.append(row.precision)
        return " · ".join(parts)

    return write


def _name(row: StudyRow) -> str:
    return f"{row.model.title} {row.runner}".strip()


def _notes(row: StudyRow) -> list[Note]:
    """Why a row is not what was hoped for: its time, its evaluation, or what could not be done."""
    if row.failure is not None:
        stage: str = row.failure.stage
        if row.failure.backend is not None:
            stage = f"{stage} to {row.failure.backend}"
        if row.failure.interrupted:
            return [Note(row.failure.reason, advice=row.failure.advice)]
        return [Note(f"{stage}: {row.failure.reason}", advice=row.failure.advice)]
    notes: list[Note] = []
    if row.timing is not None:
        notes += notes_of(row.timing)
    if row.quality is not None:
        notes += _quality_notes(row.quality)
    return notes


def _quality_notes(quality: QualityRow) -> list[Note]:
    if quality.verdict is not Verdict.VALID:
        return [Note(f"evaluation: {quality.reason}", advice=quality.advice)]
    notes = []
    if quality.images_failed:
        notes.append(Note(quality.reason))
    if quality.auc_without:
        without = quality.auc_without.split(", ")
        words = counted(len(without), "class has", "classes have")
        notes.append(Note(f"no AUC for want of images: {words} none"))
    return notes


def _legend(rows: Sequence[StudyRow]) -> str:
    parts = []
    if any(row.quality is not None and row.quality.accuracy is not None for row in rows):
        parts.append(f"top-1, balanced (mean sensitivity of the classes), AUC: {INTERVALS}")
    if any(row.quality is not None and row.quality.agreement is not None for row in rows):
        parts.append("agree: images with fp32 eager's answer")
    if any(row.timing is not None for row in rows):
        parts.append(
            "p50: undisturbed, what a call takes while nobody else uses the machine, ±: its 95 % "
            "interval; met: what a user of the machine met"
        )
        parts.append("peak MB: above the interpreter, MiB")
    ranked = [row for row in rows if row.ranks.macs or row.ranks.latency or row.ranks.accuracy]
    if ranked:
        kind = ranked[0].accuracy_kind
        parts.append(
            f"#: place among the models of the runner; by MACs the fewest first, by time the "
            f"fastest, by accuracy ({kind}) the best; {AMBIGUOUS_MARK}: the time is not VALID"
        )
    return "; ".join(parts)
