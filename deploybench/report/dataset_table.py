"""What is in a set of images: facts, classes by split, kinds of images, those that do not read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.data.survey import ClassCount, ImageKind, Survey, Unreadable
from deploybench.plurals import counted
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of

MOST_UNREADABLE = 20
"""Listed in the table; JSON has them all."""
LEGEND = "share: of all images; of a multi-label set they need not make 100 %"


def survey_report(found: Survey) -> Report:
    """The tables of a survey; ``data`` is all of it for a program."""
    sections: list[Table | Prose] = [Prose(_facts(found))]
    if found.data.synthetic is not None:
        sections.append(Prose((f"SYNTHETIC: {found.data.synthetic}",), Style.DOUBTFUL))
    remarks = _remarks(found)
    if remarks:
        sections.append(Prose(remarks, Style.FAINT))
    if found.classes:
        sections.append(_class_table(found))
    elif found.split_sizes:
        sections.append(_split_table(found))
    if found.kinds:
        title = f"Images, {_looked_at(found)}"
        sections.append(table_of(KIND_COLUMNS, found.kinds, title=title))
    if found.unreadable:
        shown = found.unreadable[:MOST_UNREADABLE]
        title = f"Not readable: {len(found.unreadable)} of {found.sampled} looked at"
        sections.append(table_of(UNREADABLE_COLUMNS, shown, title=title))
        more = len(found.unreadable) - len(shown)
        if more:
            sections.append(Prose((f"and {more} more, which --json lists",), Style.FAINT))
    if found.sha256 is not None:
        sections.append(Prose((f"sha256 of the data: {found.sha256}",), verbatim=True))
    return Report(tuple(sections), survey_data(found))


def survey_data(found: Survey) -> dict[str, object]:
    """A survey for a program."""
    data = found.data
    return {
        "name": data.name,
        "form": data.form,
        "root": str(data.root),
        "task": data.task,
        "synthetic": data.synthetic,
        "images": len(data),
        "unlabelled": found.unlabelled,
        "patients": found.patients,
        "patients_in_several_splits": found.shared_patients,
        "splits": dict(found.split_sizes),
        "classes": [
            {
                "name": one.name,
                "images": one.images,
                "unknown": one.unknown,
                "by_split": dict(zip(data.splits, one.by_split, strict=True)),
            }
            for one in found.classes
        ],
        "sampled": found.sampled,
        "kinds": [
            {
                "mode": kind.mode,
                "width": kind.width,
                "height": kind.height,
                "images": kind.images,
                "notes": list(kind.notes),
            }
            for kind in found.kinds
        ],
        "unreadable": [
            {"image": one.place, "reason": one.reason, "action": one.action}
            for one in found.unreadable
        ],
        "notes": list(data.notes),
        "sha256": found.sha256,
    }


def _facts(found: Survey) -> tuple[str, ...]:
    data = found.data
    facts = [counted(len(data), "image")]
    if found.classes:
        facts.append(f"{len(found.classes)} classes, {data.task}")
    if found.patients:
        facts.append(counted(found.patients, "patient"))
    if found.unlabelled:
        whose = "without labels"
        if found.unlabelled < len(data):
            whose = f"{found.unlabelled} of them without a label"
        facts.append(whose)
    return (f"{data.name}: {data.form}", "; ".join(facts))


def _remarks(found: Survey) -> tuple[str, ...]:
    remarks = list(found.data.notes)
    if found.shared_patients:
        remarks.append(
            f"{counted(found.shared_patients, 'patient')} in more than one split: what is learned "
            "of them in one is tested in another"
        )
    empty = [one.name for one in found.classes if not one.images]
    if empty:
        remarks.append(f"classes without an image: {', '.join(empty[:8])}")
    return tuple(remarks)


def _looked_at(found: Survey) -> str:
    if found.sampled == len(found.data):
        return f"all {found.sampled} looked at"
    return f"{found.sampled} of {len(found.data)} looked at"


def _class_table(found: Survey) -> Table:
    total = max(len(found.data), 1)
    columns: list[Column[ClassCount]] = [Column("class", "class", lambda row: row.name, folds=True)]
    columns += [_number(split, _in_split(index)) for index, split in enumerate(found.data.splits)]
    columns.append(_number("images", lambda row: row.images))
    if any(one.unknown for one in found.classes):
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
    legend = LEGEND if found.data.task == "multi-label" else ""
    return table_of(columns, found.classes, legend=legend)


def _split_table(found: Survey) -> Table:
    columns: tuple[Column[tuple[str, int]], ...] = (
        Column("split", "split", lambda row: row[0]),
        Column("images", "images", lambda row: str(row[1]), lambda row: row[1], number=True),
    )
    return table_of(columns, found.split_sizes)


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
