"""What the qualities in records mean: which belong to which cells, and the answers that follow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from deploybench.results.quality import AgainstEager, Quality
from deploybench.results.record import Record
from deploybench.statistics.proportions import (
    DEFAULT_QUALITY_MARGIN,
    PairedDifference,
    QualityAnswer,
    quality_answer,
)

HARDLY_SHIFTED = 1e-3
"""Two that give every image the same class, with no probability moved by more than this, compute
the same: fp32 on other kernels moved none by more than 1e-4."""


def quality_key(record: Record) -> tuple[str | None, ...]:
    """What computes the same answers whatever the batch, the threads and the streams."""
    cell = record.cell
    return (cell.artifact_key, cell.runner, cell.device, cell.precision)


def with_qualities(records: Sequence[Record], evaluations: Iterable[Record]) -> list[Record]:
    """The records of cells that were timed, each with the latest quality that is known of it.

    Evaluations may stand among ``records`` themselves; those of cells that were not timed are left
    out. ``evaluations`` are others, which give way to them.
    """
    own = [record for record in records if record.quality is not None]
    latest: dict[tuple[str | None, ...], Quality] = {}
    for batch in (evaluations, own):
        for record in sorted(batch, key=lambda one: one.created):
            if record.quality is not None:
                latest[quality_key(record)] = record.quality
    joined = []
    for record in records:
        if record.measures != "time":
            continue
        quality = latest.get(quality_key(record))
        if record.quality is None and quality is not None:
            record = record.replaced(quality=quality)
        joined.append(record)
    return joined


def answer_beside_eager(
    quality: Quality, margin: float = DEFAULT_QUALITY_MARGIN
) -> QualityAnswer | None:
    """Is it as good as fp32 eager? None where there is nothing to compare, or no labels are."""
    if quality.eager is None or quality.eager.difference is None:
        return None
    # The figure has the fields of the document.
    difference = PairedDifference(**dict(quality.eager.difference))
    return quality_answer(difference, margin, alike=alike(quality.eager))


def alike(eager: AgainstEager) -> bool:
    """Whether every image has the same class with hardly another probability."""
    shift = eager.agreement.largest_shift
    return eager.agreement.flipped == 0 and shift is not None and shift <= HARDLY_SHIFTED
