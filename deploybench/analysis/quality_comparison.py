"""Two sets of records joined by cell: is the candidate as good as the baseline, and may it pass?

The two are paired by image, from what their records keep, so they have to be of the same images
with the same labels. Other weights are no obstacle: whether a newly trained model is as good is the
very question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from deploybench.analysis.gate import Outcome, percent
from deploybench.analysis.matching import AXES, FIELDS, Axis
from deploybench.results.cell import Cell
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.statistics.proportions import (
    DEFAULT_QUALITY_MARGIN,
    PairedDifference,
    QualityAnswer,
    paired_difference,
    quality_answer,
)

Key = tuple[object, ...]
DECIDING = ("model", "image", "patch", "backend", "form", "runner", "device", "precision")
"""What decides the answers of a cell. A batch, threads and streams change none."""


@dataclass(frozen=True)
class QualitySide:
    """The quality of one side of a row."""

    run: str
    cell: Cell
    quality: Quality


@dataclass(frozen=True)
class QualityComparison:
    """One cell on both sides; ``difference`` is the candidate's accuracy less the baseline's, and
    ``reason`` says why there is none."""

    baseline: QualitySide | None
    candidate: QualitySide | None
    difference: PairedDifference | None = None
    reason: str = ""

    @property
    def cell(self) -> Cell:
        side = self.candidate or self.baseline
        assert side is not None
        return side.cell

    def answer(self, margin: float = DEFAULT_QUALITY_MARGIN) -> QualityAnswer | None:
        """None for a row without a difference."""
        if self.difference is None:
            return None
        return quality_answer(self.difference, margin)


@dataclass(frozen=True)
class QualityCheck:
    """A row with what the gate says of it, and why."""

    row: QualityComparison
    outcome: Outcome
    reason: str


def compare_qualities(
    baseline: Sequence[Record], candidate: Sequence[Record], across: Axis | None = None
) -> list[QualityComparison]:
    """The rows of every cell that either side has a quality of, in the baseline's order.

    ``across`` compares cells that differ in one field, often of one run.
    """
    free: Collection[str] = ()
    if across is not None:
        free = AXES[across.field]
        baseline = _having(baseline, across.field, across.baseline)
        candidate = _having(candidate, across.field, across.candidate)
    old, new = _sides(baseline, free), _sides(candidate, free)
    rows = []
    for key in dict.fromkeys([*old, *new]):
        if key not in old:
            rows.append(QualityComparison(None, new[key], reason="only in the candidate"))
        elif key not in new:
            rows.append(QualityComparison(old[key], None, reason="only in the baseline"))
        else:
            rows.append(_compared(old[key], new[key]))
    return rows


def check_qualities(rows: Sequence[QualityComparison], largest: float) -> list[QualityCheck]:
    """Judge every row; ``largest`` is the accepted drop: 0.01 lets a percentage point be lost."""
    return [_check(row, largest) for row in rows]


def quality_summary(checks: Sequence[QualityCheck], largest: float) -> str:
    """How many rows led to which outcome."""
    counts = Counter(check.outcome for check in checks)
    judged = len(checks) - counts[Outcome.SKIPPED]
    parts = []
    if counts[Outcome.REGRESSION]:
        parts.append(f"{counts[Outcome.REGRESSION]} lost more")
    if counts[Outcome.INCONCLUSIVE]:
        parts.append(f"{counts[Outcome.INCONCLUSIVE]} inconclusive")
    if not checks:
        parts.append("no cell has an accuracy on either side (deploybench evaluate)")
    parts.append(f"{counts[Outcome.PASS]} of {judged} lost at most {percent(largest)} of accuracy")
    return ", ".join(parts)


def _having(records: Sequence[Record], name: str, value: str) -> list[Record]:
    return [record for record in records if str(getattr(record.cell, FIELDS[name])) == value]


def _sides(records: Sequence[Record], free: Collection[str]) -> dict[Key, QualitySide]:
    """The latest quality of every cell; what is in ``free`` tells none apart."""
    telling_apart = [FIELDS[name] for name in DECIDING if name not in free]
    sides: dict[Key, QualitySide] = {}
    for record in sorted(records, key=lambda one: one.created):
        quality = record.quality
        if quality is None or quality.right is None:
            continue
        cell = record.cell
        key = tuple(getattr(cell, field) for field in telling_apart)
        sides[key] = QualitySide(record.run, cell, quality)
    return sides


def _compared(old: QualitySide, new: QualitySide) -> QualityComparison:
    before, after = old.quality, new.quality
    if before.data.sha256 != after.data.sha256:
        reason = (
            f"other images or labels: {before.data.images} of {before.data.path}, "
            f"{after.data.images} of {after.data.path}"
        )
        return QualityComparison(old, new, reason=reason)
    assert before.right is not None
    assert after.right is not None
    both = before.seen.values & after.seen.values
    if not np.any(both):
        return QualityComparison(old, new, reason="no image was read on both sides")
    difference = paired_difference(before.right.values[both], after.right.values[both])
    return QualityComparison(old, new, difference)


def _check(row: QualityComparison, largest: float) -> QualityCheck:
    if row.baseline is None:
        return QualityCheck(row, Outcome.SKIPPED, "new: the baseline does not have it")
    if row.candidate is None:
        return QualityCheck(row, Outcome.INCONCLUSIVE, "missing: the candidate does not have it")
    if row.difference is None:
        return QualityCheck(row, Outcome.INCONCLUSIVE, row.reason)
    found = row.difference
    words = (
        f"{_points(found.value)} ({_points(found.low)} to {_points(found.high)}) on "
        f"{found.images} images, {found.only_baseline} lost and {found.only_candidate} won"
    )
    if found.low >= -largest:
        return QualityCheck(row, Outcome.PASS, words)
    if found.high < -largest:
        return QualityCheck(row, Outcome.REGRESSION, f"{words}: more than {percent(largest)}")
    reason = f"{words}: across the limit of {percent(largest)}; it takes more images"
    return QualityCheck(row, Outcome.INCONCLUSIVE, reason)


def _points(share: float) -> str:
    """In percentage points."""
    return f"{round(100 * share, 2) + 0.0:+.2f}"
