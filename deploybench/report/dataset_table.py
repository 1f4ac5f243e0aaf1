"""What is in a set of images: facts, classes by split, kinds of images, those that do not read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from deploybench.data.survey import ClassCount, Copies, ImageKind, Survey, Unreadable
from deploybench.plurals import counted
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of

MOST_UNREADABLE = 20
"""Listed in the table; JSON has them all."""
LEGEND = "share: of all images; of a multi-label set they need not make 100 %"


def survey_report(result: Survey) -> Report:
    """The tables of a survey; ``data`` is all of it for a program."""
    sections: list[Table | Prose] = [Prose(_facts(result))]
    if result.data.synthetic is not None:
        sections.append(Prose((f"SYNTHETIC: {result.data.synthetic}",), Style.DOUBTFUL))
    remarks = _remarks(result)
    if remarks:
        sections.append(Prose(remarks, Style.FAINT))
    if result.classes:
        sections.append(_class_table(result))
    elif result.split_sizes:
        sections.append(_split_table(result))
    if result.kinds:
        title = f"Images, {_looked_at(result)}"
        sections.append(table_of(KIND_COLUMNS, result.kinds, title=title))
    if result.unreadable:
        shown = result.unreadable[:MOST_UNREADABLE]
        title = f"Not readable: {len(result.unreadable)} of {result.sampled} looked at"
        sections.append(table_of(UNREADABLE_COLUMNS, shown, title=title))
        more = len(result.unreadable) - len(shown)
        if more:
            sections.append(Prose((f"and {more} more, which --json lists",), Style.FAINT))
    if result.sha256 is not None:
        sections.append(Prose((f"sha256 of the data: {result.sha256}",), verbatim=True))
    return Report(tuple(sections), survey_data(result))


def survey_data(result: Survey) -> dict[str, object]:
    """A survey for a program."""
    data = result.data
    return {
        "name": data.name,
        "form": data.form,
        "root": str(data.root),
        "task": data.task,
        "synthetic": data.synthetic,
        "images": len(data),
        "unlabelled": result.unlabelled,
        "patients": result.patients,
        "patients_in_several_splits": result.shared_patients,
        "copies": None if result.copies is None else asdict(result.copies),
        "splits": dict(result.split_sizes),
        "classes": [
            {
                "name": counts.name,
                "images": counts.images,
                "unknown": counts.unknown,
                "by_split": dict(zip(data.splits, counts.by_split, strict=True)),
            }
            for counts in result.classes
        ],
        "sampled": result.sampled,
        "kinds": [
            {
                "mode": kind.mode,
                "width": kind.width,
                "height": kind.height,
                "images": kind.images,
                "notes": list(kind.notes),
            }
            for kind in result.kinds
        ],
        "unreadable": [
            {"image": image.place, "reason": image.reason, "action": image.action}
            for image in result.unreadable
        ],
        "notes": list(data.notes),
        "sha256": result.sha256,
    }


def _facts(result: Survey) -> tuple[str, ...]:
    data = result.data
    facts = [counted(len(data), "image")]
    if result.classes:
        facts.append(f"{counted(len(result.classes), 'class', 'classes')}, {data.task}")
    if result.patients:
        facts.append(counted(result.patients, "patient"))
    if result.unlabelled:
        whose = "without labels"
        if result.unlabelled < len(data):
            whose = f"{result.unlabelled} of them without a label"
        facts.append(whose)
    return (f"{data.name}: {data.form}", "; ".join(facts))


def _remarks(result: Survey) -> tuple[str, ...]:
    remarks = list(result.data.notes)
    if result.shared_patients:
        remarks.append(
            f"{counted(result.shared_patients, 'patient')} in more than one split: what is learned "
            "of them in one is tested in another"
        )
    if result.copies is not None and result.copies.images:
        remarks.append(_copies(result.copies))
    empty = [counts.name for counts in result.classes if not counts.images]
    if empty:
        remarks.append(f"classes without an image: {', '.join(empty[:8])}")
    return tuple(remarks)


def _copies(copies: Copies) -> str:
    words = f"{counted(copies.images, 'image')} with the content of another, to the byte"
    if copies.in_another_split:
        words += f"; {copies.in_another_split} in another split than it"
    if copies.with_another_label:
        words += f"; {copies.with_another_label} with another label than it"
    return words


def _looked_at(result: Survey) -> str:
    if result.sampled == len(result.data):
        return f"all {result.sampled} looked at"
    return f"{result.sampled} of {len(result.data)} looked at"


def _class_table(result: Survey) -> Table:
    total = max(len(result.data), 1)
    columns: list[Column[ClassCount]] = [Column("class", "class", lambda row: row.name, folds=True)]
    columns += [_number(split, _in_split(index)) for index, split in enumerate(result.data.splits)]
    columns.append(_number("images", lambda row: row.images))
    if any(counts.unknown for counts in result.classes):
        columns.append(_number("unknown", lambda row: row.unknown))
    columns.append(
        Column(
            "share",
            "share",
            lambda row: f"{100 * row.images / total:.1f} %",
            lambda row: row.images / total,
            number=True,
        )
    )
    legend = LEGEND if result.data.task == "multi-label" else ""
    return table_of(columns, result.classes, legend=legend)


def _split_table(result: Survey) -> Table:
    columns: tuple[Column[tuple[str, int]], ...] = (
        Column("split", "split", lambda row: row[0]),
        Column("images", "images", lambda row: str(row[1]), lambda row: row[1], number=True),
    )
    return table_of(columns, result.split_sizes)


def _in_split(index: int) -> Callable[[ClassCount], int]:
    return lambda row: row.by_split[index]


def _number(key: str, count: Callable[[ClassCount], int]) -> Column[ClassCount]:
    return Column(key, key, lambda row: str(count(row)), count, number=True)


KIND_COLUMNS: Sequence[Column[ImageKind]] = (
    Column("mode", "mode", lambda row: row.mode),
    Column("width", "width", lambda row: str(row.width), lambda row: row.width, "px", number=True),
    Column(
        "height", "height", lambda row: str(row.height), lambda row: row.height, "px", number=True
    ),
    Column("images", "images", lambda row: str(row.images), lambda row: row.images, number=True),
    Column("notes", "read as", lambda row: "; ".join(row.notes) or NOTHING, folds=True),
)
UNREADABLE_COLUMNS: Sequence[Column[Unreadable]] = (
    Column("image", "image", lambda row: row.place),
    Column("reason", "reason", lambda row: row.reason, folds=True),
    Column("action", "do", lambda row: row.action or NOTHING, folds=True, priority=2),
)
