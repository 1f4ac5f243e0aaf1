"""The table of predictions: the most probable classes of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploybench.report.table import Column, Report, table_of


@dataclass(frozen=True)
class GuessRow:
    """One class of one image; ``rank`` 1 is the most probable."""

    image: str
    rank: int
    probability: float
    index: int
    name: str


COLUMNS = (
    Column[GuessRow](
        "image",
        "image",
        lambda row: Path(row.image).name if row.rank == 1 else "",
        lambda row: row.image,
    ),
    Column[GuessRow]("rank", "rank", lambda row: str(row.rank), lambda row: row.rank, number=True),
    Column[GuessRow](
        "probability",
        "probability",
        lambda row: f"{100 * row.probability:.1f}%",
        lambda row: row.probability,
        number=True,
    ),
    Column[GuessRow](
        "index", "index", lambda row: str(row.index), lambda row: row.index, number=True
    ),
    Column[GuessRow]("name", "class", lambda row: row.name, folds=True),
)


def prediction_report(predictions: Sequence[Mapping[str, Any]]) -> Report:
    """``predictions`` are what :func:`deploybench.evaluate.predict.predict_images` gives."""
    rows = [
        GuessRow(
            image=str(prediction["image"]),
            rank=rank,
            probability=guess["probability"],
            index=guess["index"],
            name=guess["name"],
        )
        for prediction in predictions
        for rank, guess in enumerate(prediction["classes"], 1)
    ]
    return Report((table_of(COLUMNS, rows),), list(predictions))
