"""The classes of an evaluation, the pairs that were confused, and the images that flipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.plurals import counted
from deploybench.report.table import NOTHING, Column, Prose, Style, Table, table_of
from deploybench.results.quality import ClassQuality, Quality
from deploybench.results.record import Record
from deploybench.statistics.figures import Figure

MOST_FLIPS = 10
MOST_PAIRS = 10


@dataclass(frozen=True)
class _ClassLine:
    cell: str
    one: ClassQuality


def class_sections(records: Sequence[Record]) -> list[Table | Prose]:
    """Every class of every cell, and what was taken for what most often."""
    lines = [
        _ClassLine(_cell(record), one)
        for record in records
        if record.quality is not None
        for one in record.quality.classes
    ]
    if not lines:
        return []
    sections: list[Table | Prose] = [
        table_of(CLASSES, lines, group=lambda line: line.cell, title="Class by class")
    ]
    for record in records:
        quality = record.quality
        if quality is None:
            continue
        pairs = _confused(quality)
        if pairs:
            sections.append(Prose(tuple(pairs), title=f"Taken for another: {_cell(record)}"))
    return sections


def flip_sections(records: Sequence[Record]) -> list[Table | Prose]:
    """The images whose answer is another than fp32 eager's."""
    sections: list[Table | Prose] = []
    for record in records:
        quality = record.quality
        if quality is None or quality.eager is None or not quality.eager.agreement.flipped:
            continue
        agreement = quality.eager.agreement
        lines = []
        for flip in agreement.flips[:MOST_FLIPS]:
            was = _with(flip.baseline, flip.baseline_probability)
            now = _with(flip.candidate, flip.candidate_probability)
            lines.append(f"{flip.image}: {was} became {now}")
        if agreement.flipped > len(lines):
            lines.append(f"and {agreement.flipped - len(lines)} others")
        title = f"{counted(agreement.flipped, 'image')} flipped: {_cell(record)}"
        sections.append(Prose(tuple(lines), Style.DOUBTFUL, title=title))
    return sections


def _with(name: str, probability: float | None) -> str:
    if probability is None:
        return name
    return f"{name} ({probability:.3f})"


def _cell(record: Record) -> str:
    return f"{record.cell.model} {record.cell.runner} {record.cell.precision}"


def _confused(quality: Quality) -> list[str]:
    """The commonest mistakes. Numbers of classes are places in the model's outputs, of which only
    the classes that occur are named here."""
    wrong = [pair for pair in quality.confusion if pair[0] != pair[1]]
    names = quality.class_names
    wrong.sort(key=lambda pair: -pair[2])
    return [
        f"{names.get(true, f'class {true}')} for {names.get(given, f'class {given}')}: "
        f"{counted(count, 'image')}"
        for true, given, count in wrong[:MOST_PAIRS]
    ]


def _share(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.1f}%"
    return f"{100 * figure.value:.1f}% ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def _area(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    if figure.low is None or figure.high is None:
        return f"{figure.value:.3f}"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


CLASSES: tuple[Column[_ClassLine], ...] = (
    Column("class", "class", lambda line: line.one.name),
    Column("images", "images", lambda line: str(line.one.images), number=True),
    Column("predicted", "predicted", lambda line: str(line.one.predicted), number=True),
    Column("sensitivity", "sensitivity", lambda line: _share(line.one.sensitivity), number=True),
    Column("specificity", "specificity", lambda line: _share(line.one.specificity), number=True),
    Column("auc", "AUC", lambda line: _area(line.one.area), number=True),
)
