"""The accuracies of ``compare`` and ``gate``: the same rows, with the answer or the outcome."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.gate import percent
from deploybench.analysis.quality_comparison import (
    QualityCheck,
    QualityComparison,
    QualitySide,
)
from deploybench.data.image_size import size_text
from deploybench.report.comparison_table import OUTCOME_STYLES
from deploybench.report.quality_cells import (
    QUALITY_ANSWER_STYLES,
    difference_text,
    share_text,
)
from deploybench.report.table import NOTHING, Column, Note, Style, Table, table_of

TITLE = "Accuracy, %, paired by image"


def quality_comparison_table(rows: Sequence[QualityComparison], margin: float) -> Table:
    """The rows with the answer to: is the candidate as good?"""

    def difference(row: QualityComparison) -> str:
        return _difference(row, margin)

    def style(row: QualityComparison) -> Style:
        answer = row.answer(margin)
        return Style.FAINT if answer is None else QUALITY_ANSWER_STYLES[answer]

    return table_of(
        (*_COLUMNS, Column("difference", "difference", difference, number=True, style=style)),
        rows,
        group=_group,
        name=_name,
        notes=lambda row: [Note(row.reason)] if row.reason else [],
        title=TITLE,
        legend=f"difference: candidate less baseline, percentage points; SAME: the whole 95 % "
        f"interval is within {percent(margin)}",
        data=lambda row: quality_comparison_data(row, margin),
    )


def quality_gate_table(checks: Sequence[QualityCheck], largest: float) -> Table:
    """The rows with what the gate says of them."""
    columns = tuple(
        Column[QualityCheck](
            column.key,
            column.title,
            lambda check, show=column.show: show(check.row),  # type: ignore[misc]
            number=column.number,
        )
        for column in _COLUMNS
    )
    return table_of(
        (
            *columns,
            Column(
                "difference",
                "difference",
                lambda check: _difference(check.row, None),
                number=True,
            ),
            Column(
                "gate",
                "gate",
                lambda check: check.outcome.value,
                style=lambda check: OUTCOME_STYLES[check.outcome],
            ),
        ),
        checks,
        group=lambda check: _group(check.row),
        name=lambda check: _name(check.row),
        notes=lambda check: [] if check.outcome.value == "PASS" else [Note(check.reason)],
        title=TITLE,
        legend=f"PASS: the whole 95 % interval of the difference is at or above -{percent(largest)}"
        "; REGRESSION: all of it is below",
        data=quality_check_data,
    )


def quality_comparison_data(row: QualityComparison, margin: float) -> dict[str, object]:
    """The row of ``compare --json``."""
    answer = row.answer(margin)
    return {**_data(row), "answer": None if answer is None else answer.value}


def quality_check_data(check: QualityCheck) -> dict[str, object]:
    """The row of ``gate --json``."""
    return {
        **_data(check.row),
        "outcome": check.outcome.value,
        "outcome_reason": check.reason,
    }


def _data(row: QualityComparison) -> dict[str, object]:
    cell = row.cell
    found = row.difference
    return {
        "of": "accuracy",
        "model": _both(row, "model"),
        "image_size": size_text(cell.image_size),
        "form": _both(row, "form"),
        "runner": _both(row, "runner"),
        "device": _both(row, "device"),
        "precision": _both(row, "precision"),
        **_side_data("baseline", row.baseline),
        **_side_data("candidate", row.candidate),
        "accuracy_difference": None if found is None else found.value,
        "accuracy_difference_low": None if found is None else found.low,
        "accuracy_difference_high": None if found is None else found.high,
        "p_value": None if found is None else found.p_value,
        "images": None if found is None else found.images,
        "only_baseline": None if found is None else found.only_baseline,
        "only_candidate": None if found is None else found.only_candidate,
        "reason": row.reason,
    }


def _side_data(prefix: str, side: QualitySide | None) -> dict[str, object]:
    accuracy = None if side is None else side.quality.accuracy
    return {
        f"{prefix}_run": None if side is None else side.run,
        f"{prefix}_weights": None if side is None else side.cell.weights,
        f"{prefix}_data_sha256": None if side is None else side.quality.data.sha256,
        f"{prefix}_accuracy": None if accuracy is None else accuracy.value,
    }


def _both(row: QualityComparison, name: str) -> str:
    """The field of both cells, once where it is the same."""
    sides = (row.baseline, row.candidate)
    values = [str(getattr(side.cell, name)) for side in sides if side is not None]
    return " → ".join(dict.fromkeys(values))


def _group(row: QualityComparison) -> str:
    return f"{_both(row, 'model')} · {size_text(row.cell.image_size)}"


def _name(row: QualityComparison) -> str:
    return f"{_both(row, 'model')} {_both(row, 'runner')} accuracy"


def _accuracy(side: QualitySide | None) -> str:
    if side is None or side.quality.accuracy is None:
        return NOTHING
    figure = side.quality.accuracy
    return share_text(figure.value, figure.low, figure.high)


def _difference(row: QualityComparison, margin: float | None) -> str:
    found = row.difference
    if found is None:
        return NOTHING
    answer = None if margin is None else row.answer(margin)
    text = difference_text(found.value, found.low, found.high, answer)
    if margin is None:
        return text.rpartition(" ")[0]
    return text


_COLUMNS: tuple[Column[QualityComparison], ...] = (
    Column("runner", "runner", lambda row: _both(row, "runner")),
    Column("precision", "prec", lambda row: _both(row, "precision")),
    Column("baseline", "baseline", lambda row: _accuracy(row.baseline), number=True),
    Column("candidate", "candidate", lambda row: _accuracy(row.candidate), number=True),
)
