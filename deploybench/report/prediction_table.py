"""The table of predictions: the most probable classes of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploybench.report.table import Column, Prose, Report, Table, table_of


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
    sections: list[Table | Prose] = [table_of(COLUMNS, rows)]
    said = _assumptions(predictions) + _notes(predictions)
    if said:
        sections.insert(0, Prose(tuple(said)))
    return Report(tuple(sections), list(predictions))


def _assumptions(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was assumed when the artifact was exported: the same for every image."""
    return list(
        dict.fromkeys(said for prediction in predictions for said in prediction.get("assumed", ()))
    )


def _notes(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was decided about images that their files leave open: each once, with its images."""
    images: dict[str, list[str]] = {}
    for prediction in predictions:
        for note in prediction.get("notes", ()):
            images.setdefault(note, []).append(Path(str(prediction["image"])).name)
    lines = []
    for note, names in images.items():
        whose = names[0]
        if len(names) > 1:
            whose = f"{len(names)} images"
        lines.append(f"{whose}: {note}")
    return lines
