"""The table of predictions: what the artifact's main output says of each image.

The most probable classes; of a dense output the classes of most pixels; else numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploybench.artifacts.task import TASK_ASSUMED
from deploybench.report.table import NOTHING, Column, Prose, Report, Table, table_of


@dataclass(frozen=True)
class GuessRow:
    """One class of one image, or one number of it; ``rank`` 1 is the most probable."""

    image: str
    rank: int
    probability: float | None
    index: int
    name: str
    share: float | None = None
    value: float | None = None


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
        lambda row: _percent(row.probability),
        lambda row: row.probability,
        number=True,
    ),
    Column[GuessRow](
        "share",
        "share of pixels",
        lambda row: _percent(row.share),
        lambda row: row.share,
        number=True,
    ),
    Column[GuessRow](
        "value",
        "value",
        lambda row: NOTHING if row.value is None else f"{row.value:.6g}",
        lambda row: row.value,
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
            share=guess.get("share"),
            value=guess.get("value"),
        )
        for prediction in predictions
        for rank, guess in enumerate(prediction["classes"], 1)
    ]
    columns = [column for column in COLUMNS if _has_content(column.key, rows)]
    sections: list[Table | Prose] = [table_of(columns, rows)]
    said = _tasks(predictions) + _assumptions(predictions) + _notes(predictions)
    if said:
        sections.insert(0, Prose(tuple(said)))
    return Report(tuple(sections), list(predictions))


def _tasks(predictions: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the outputs mean: the same for every image.

    An assumption that is said with the others is not said twice.
    """
    lines = []
    for prediction in predictions:
        said = any(text.startswith(TASK_ASSUMED) for text in prediction.get("assumed", ()))
        if "task_words" in prediction and not (prediction.get("task_known") == "assumed" and said):
            lines.append(f"task: {prediction['task_words']}")
    return list(dict.fromkeys(lines))


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


def _percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    return f"{100 * share:.1f}%"


def _has_content(key: str, rows: Sequence[GuessRow]) -> bool:
    """Whether a column belongs into the table: that of another task's figures does not."""
    if key == "probability":
        return any(row.probability is not None for row in rows) or not rows
    if key == "share":
        return any(row.share is not None for row in rows)
    if key == "value":
        return any(row.value is not None for row in rows)
    return True
