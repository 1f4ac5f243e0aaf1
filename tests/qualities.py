"""Records with a quality that is made up, for tests of what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deploybench.results.quality import (
    AgainstEager,
    Agreement,
    DataSeen,
    Difference,
    Figures,
    Marks,
    Quality,
)
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.statistics.proportions import paired_difference, share
from tests.comparisons import record

SHA256 = "5" * 64


def quality(
    right: Sequence[bool] | np.ndarray,
    *,
    eager: Sequence[bool] | np.ndarray | None = None,
    shift: float = 1e-6,
    sha256: str = SHA256,
    seen: Sequence[bool] | np.ndarray | None = None,
) -> Quality:
    """The quality of a cell that gets these images right, beside what fp32 eager gets right."""
    marks = np.asarray(right, dtype=bool)
    read = np.ones(len(marks), bool) if seen is None else np.asarray(seen, dtype=bool)
    against = None
    if eager is not None:
        old = np.asarray(eager, dtype=bool)
        found = paired_difference(old, marks)
        flipped = int((old != marks).sum())
        against = AgainstEager(
            runner="pytorch",
            device="cpu",
            artifact_key="e" * 16,
            agreement=Agreement(
                images=len(marks),
                top1=share(len(marks) - flipped, len(marks)),
                top5=1.0,
                largest_shift=shift,
                mean_shift=shift / 2,
                flipped=flipped,
            ),
            difference=Difference(
                value=found.value,
                low=found.low,
                high=found.high,
                images=found.images,
                only_baseline=found.only_baseline,
                only_candidate=found.only_candidate,
                p_value=found.p_value,
            ),
        )
    return Quality(
        data=DataSeen(
            name="photos",
            path="/data/photos",
            form="image folder",
            sha256=sha256,
            split=None,
            labels="single-label",
            images=len(marks),
            evaluated=int(read.sum()),
            class_counts=(len(marks),),
        ),
        task="multi_class over logits (given)",
        classes_from="by name",
        figures=Figures(top1=share(int((marks & read).sum()), int(read.sum()))),
        seen=Marks.of(read),
        right=Marks.of(marks & read),
        eager=against,
    )


def evaluation(found: Quality, run: str = "evaluated", **changes: object) -> Record:
    """The record of a cell that was evaluated and not timed."""
    made = record([10.0] * 6, run, **changes)  # type: ignore[arg-type]
    return made.replaced(
        launches=(),
        summary=None,
        measures="quality",
        quality=found,
        judgement=Judgement(verdict=Verdict.VALID, reason="evaluated"),
    )
