"""How figures of quality are written, once for all tables."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.plurals import counted
from deploybench.report.figures import AMBIGUOUS_MARK
from deploybench.report.table import NOTHING, Style
from deploybench.rows.row import Row
from deploybench.statistics.proportions import QualityAnswer

QUALITY_ANSWER_STYLES = {
    QualityAnswer.BETTER: Style.GOOD,
    QualityAnswer.WORSE: Style.BAD,
    QualityAnswer.SAME: Style.PLAIN,
    QualityAnswer.AMBIGUOUS: Style.DOUBTFUL,
}
INTERVALS = "±: 95 % interval over images"
DIFFERENCE = (
    "Δ eager: accuracy less fp32 eager's on the same images, in percentage points; SAME: within "
    "the margin, or the same answers throughout; ?: it takes more images"
)
AGREEMENT = (
    "agree: images with fp32 eager's answer; shift: largest change of any probability; mean: of "
    "the largest of each image"
)


def share_text(value: float | None, low: float | None, high: float | None) -> str:
    """``71.3 ±1.2``, in percent; the farther end where the two differ."""
    if value is None:
        return NOTHING
    if low is None or high is None:
        return f"{100 * value:.1f}"
    return f"{100 * value:.1f} ±{100 * max(value - low, high - value):.1f}"


def difference_text(
    value: float | None,
    low: float | None,
    high: float | None,
    answer: QualityAnswer | None,
) -> str:
    """``-0.4 ±0.6 SAME``, in percentage points."""
    if value is None or low is None or high is None:
        return NOTHING
    mark = AMBIGUOUS_MARK
    if answer is not None and answer is not QualityAnswer.AMBIGUOUS:
        mark = answer.value
    reach = max(value - low, high - value)
    # Adding 0 turns -0.0 into 0.0.
    return f"{100 * value + 0.0:+.1f} ±{100 * reach:.1f} {mark}"


def agreement_share(value: float | None) -> str:
    """``all``, or a share that is never rounded up to all."""
    if value is None:
        return NOTHING
    if value == 1:
        return "all"
    return f"{min(100 * value, 99.99):.2f}%"


def accuracy_text(row: Row) -> str:
    return share_text(row.accuracy, row.accuracy_low, row.accuracy_high)


def accuracy_difference_text(row: Row) -> str:
    return difference_text(
        row.accuracy_difference,
        row.accuracy_difference_low,
        row.accuracy_difference_high,
        row.accuracy_answer,
    )


def agreement_text(row: Row) -> str:
    return agreement_share(row.agreement)


def legend_of_accuracy(rows: Sequence[Row]) -> list[str]:
    """What the columns of the comparison table say; nothing where there are none."""
    seen = [row for row in rows if row.accuracy_images is not None]
    if not seen:
        return []
    data = dict.fromkeys((row.accuracy_data, row.accuracy_images or 0) for row in seen)
    words = [f"{counted(images, 'image')} of {name}" for name, images in data]
    parts = []
    kinds = dict.fromkeys(row.accuracy_of for row in seen if row.accuracy_of)
    if kinds:
        parts.append(f"accuracy: {' or '.join(kinds)} on {' and '.join(words)}, {INTERVALS}")
    if any(row.accuracy_difference is not None for row in seen):
        parts.append(DIFFERENCE)
    if any(row.agreement is not None for row in seen):
        parts.append(f"agree: answers as fp32 eager's on {' and '.join(words)}")
    if any(row.weights.startswith("adopted ") for row in seen):
        parts.append("of an adopted model Δ eager and agree are to the file as it was adopted")
    return parts
