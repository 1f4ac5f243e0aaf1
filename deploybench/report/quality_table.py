"""What ``evaluate`` prints: how good each artifact is, beside fp32 eager and beside its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from deploybench.plurals import counted
from deploybench.report.figures import VERDICT_STYLES, three_digits
from deploybench.report.quality_cells import (
    AGREEMENT,
    DIFFERENCE,
    INTERVALS,
    QUALITY_ANSWER_STYLES,
    agreement_share,
    difference_text,
    share_text,
)
from deploybench.report.quality_details import class_sections, flip_sections
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, Table, table_of
from deploybench.results.cell import precision_name
from deploybench.results.quality import ITSELF, REFERENCE_ITSELF, Quality
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.rows.quality_row import QualityRow, quality_rows
from deploybench.statistics.proportions import DEFAULT_QUALITY_MARGIN

MOST_FAILED_SHOWN = 10
KEY_LETTERS = 8
"""Of an artifact's key, where nothing else tells two artifacts apart."""


def quality_report(
    records: Sequence[Record],
    timed: Sequence[Record] = (),
    *,
    margin: float = DEFAULT_QUALITY_MARGIN,
    details: bool = False,
) -> Report:
    """The records of one evaluation; JSON and CSV hold the rows.

    ``timed`` are records of cells that were timed, for the column of times.
    """
    rows = quality_rows(records, timed, margin)
    data = tuple(asdict(row) for row in rows)
    table = table_of(
        [column for column in COLUMNS if _shown(column, rows)],
        rows,
        group=_title,
        name=lambda row: f"{row.model} {row.runner} {row.precision}",
        notes=_notes,
        legend=_legend(rows),
        data=asdict,
    )
    qualities = [record.quality for record in records if record.quality is not None]
    sections: list[Table | Prose] = []
    if qualities:
        sections.append(Prose(tuple(_about_data(qualities[0])), Style.FAINT))
    sections.append(table)
    sections += flip_sections(records)
    if details:
        sections += class_sections(records)
    failed = _failed_lines(qualities)
    if failed:
        sections.append(Prose(tuple(failed), Style.DOUBTFUL))
    return Report(tuple(sections), list(data))


def _legend(rows: Sequence[QualityRow]) -> str:
    parts = []
    if any(row.accuracy is not None for row in rows):
        parts.append(INTERVALS)
    if any(row.accuracy_difference is not None for row in rows):
        parts.append(DIFFERENCE)
    if any(row.agreement is not None for row in rows):
        parts.append(AGREEMENT)
    return "; ".join(parts)


def _shares(name: str) -> Callable[[QualityRow], str]:
    def write(row: QualityRow) -> str:
        return share_text(
            getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
        )

    return write


def _plain(name: str) -> Callable[[QualityRow], str]:
    """A figure that is no share, with three digits."""

    def write(row: QualityRow) -> str:
        value = getattr(row, name)
        if value is None:
            return NOTHING
        low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
        if low is None or high is None:
            return f"{value:.3f}"
        return f"{value:.3f} ±{max(value - low, high - value):.3f}"

    return write


def _all_right(row: QualityRow) -> str:
    if row.top1 is not None:
        return NOTHING
    return share_text(row.accuracy, row.accuracy_low, row.accuracy_high)


def _difference(row: QualityRow) -> str:
    return difference_text(
        row.accuracy_difference,
        row.accuracy_difference_low,
        row.accuracy_difference_high,
        row.answer,
    )


def _difference_style(row: QualityRow) -> Style:
    if row.answer is None:
        return Style.PLAIN
    return QUALITY_ANSWER_STYLES[row.answer]


def _shift(value: float | None) -> str:
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    return f"{value:.1g}"


def _time(row: QualityRow) -> str:
    if row.p50_ms is None:
        return NOTHING
    text = three_digits(row.p50_ms)
    if row.timed_batch != 1:
        text += f" (b{row.timed_batch})"
    return text


COLUMNS: tuple[Column[QualityRow], ...] = (
    Column("runner", "runner", lambda row: row.runner),
    Column("device", "device", lambda row: row.device),
    Column("form", "form", lambda row: row.form),
    Column("options", "options", lambda row: row.options or NOTHING),
    Column("artifact", "artifact", lambda row: (row.artifact_key or "")[:KEY_LETTERS]),
    Column("precision", "prec", lambda row: precision_name(row.precision, row.form)),
    Column("images", "images", lambda row: str(row.images_evaluated or 0), number=True),
    Column("top1", "top-1", _shares("top1"), unit="%", number=True),
    Column("top5", "top-5", _shares("top5"), unit="%", number=True, priority=3),
    Column("all_right", "all labels right", _all_right, unit="%", number=True),
    Column("label_accuracy", "labels right", _shares("label_accuracy"), unit="%", number=True),
    Column("balanced", "balanced", _shares("balanced_accuracy"), unit="%", number=True),
    Column("sensitivity", "sensitivity", _shares("sensitivity"), unit="%", number=True),
    Column("specificity", "specificity", _shares("specificity"), unit="%", number=True, priority=4),
    Column("f1", "F1", _plain("f1"), number=True, priority=2),
    Column("auc", "AUC", _plain("auc"), number=True, priority=2),
    Column("kappa", "kappa", _plain("kappa"), number=True, priority=3),
    Column("mcc", "MCC", _plain("mcc"), number=True, priority=4),
    Column("ece", "calibration", _plain("calibration_error"), number=True, priority=4),
    Column("difference", "Δ eager", _difference, number=True, style=_difference_style),
    Column("agreement", "agree", lambda row: agreement_share(row.agreement), number=True),
    Column(
        "agreement_top5",
        "top-5 agree",
        lambda row: agreement_share(row.agreement_top5),
        number=True,
        priority=3,
    ),
    Column("largest_shift", "shift", lambda row: _shift(row.largest_shift), number=True),
    Column("mean_shift", "mean", lambda row: _shift(row.mean_shift), number=True, priority=3),
    Column("p50_ms", "p50", _time, unit="ms", number=True),
    Column(
        "verdict",
        "verdict",
        lambda row: row.verdict.value,
        style=lambda row: VERDICT_STYLES[row.verdict],
    ),
)
ALWAYS = ("runner", "precision", "images", "verdict")


def _shown(column: Column[QualityRow], rows: Sequence[QualityRow]) -> bool:
    """Whether any row has something to say there."""
    if column.key == "device":
        return len({row.device for row in rows}) > 1
    if column.key == "form":
        return _several(rows, lambda row: row.form)
    if column.key == "artifact":
        return _several(rows, lambda row: row.artifact_key, within=lambda row: row.form)
    if column.key in ALWAYS:
        return True
    return any(column.show(row) != NOTHING for row in rows)


def _several(
    rows: Sequence[QualityRow],
    value: Callable[[QualityRow], object],
    within: Callable[[QualityRow], object] = lambda row: "",
) -> bool:
    """Whether rows that look the same otherwise, one runner's on one model, differ in a value."""
    seen: dict[object, object] = {}
    for row in rows:
        alike = (*_looks(row), within(row))
        if seen.setdefault(alike, value(row)) != value(row):
            return True
    return False


def _looks(row: QualityRow) -> tuple[object, ...]:
    """What a row shows of its cell without the columns that tell twins apart."""
    name = precision_name(row.precision, row.form)
    return (_title(row), row.runner, row.device, name, row.options)


def _title(row: QualityRow) -> str:
    parts = [row.model]
    if row.weights:
        parts.append(row.weights)
    return " · ".join([*parts, row.image_size])


def _notes(row: QualityRow) -> list[Note]:
    notes = []
    if row.verdict is not Verdict.VALID:
        notes.append(Note(row.reason, advice=row.advice))
    elif row.images_failed or row.parity_accepted:
        notes.append(Note(row.reason))
    if row.classes_from.startswith(("assumed", "as --class-names")):
        notes.append(Note(f"classes: {row.classes_from}"))
    if row.auc_without:
        notes.append(Note(f"no AUC for want of images: {_some(row.auc_without.split(', '))}"))
    if row.stands_for:
        notes.append(
            Note(
                f"Δ eager, agree and shift are to {row.stands_for}: it was adopted, and there is "
                "no fp32 eager of it"
            )
        )
    if row.verdict is Verdict.VALID and row.not_compared not in ("", ITSELF, REFERENCE_ITSELF):
        notes.append(Note(f"not held against fp32 eager: {row.not_compared}"))
    return notes


def _some(names: Sequence[str]) -> str:
    if len(names) <= MOST_FAILED_SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_FAILED_SHOWN])} and {len(names) - MOST_FAILED_SHOWN} others"


def _about_data(quality: Quality) -> list[str]:
    data = quality.data
    words = [data.path, data.form, counted(data.images, "image")]
    if data.split is not None:
        words.append(f"split {data.split}")
    if data.labels == "none":
        words.append("no labels: agreement with fp32 eager only")
    else:
        present = sum(count > 0 for count in data.class_counts)
        words.append(counted(present, "class", "classes"))
    lines = [f"data: {', '.join(words)}"]
    if data.synthetic:
        lines.append(f"synthetic: {data.synthetic}")
    return [*lines, *data.notes]


def _failed_lines(qualities: Sequence[Quality]) -> list[str]:
    """The images that no cell could read, once."""
    reasons: dict[str, str] = {}
    for quality in qualities:
        for one in quality.failed:
            reasons.setdefault(one.image, one.reason)
    lines = [f"not evaluated: {reason}" for reason in list(reasons.values())[:MOST_FAILED_SHOWN]]
    most = max((quality.failed_count for quality in qualities), default=0)
    if most > len(lines):
        lines.append(f"and {most - len(lines)} others: the record lists them")
    return lines
