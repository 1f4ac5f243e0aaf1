"""A table that lists images: a row an image, with its label or labels, its split, its patient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploybench.data.dataset import DataSet, Example, LabelTask
from deploybench.data.forms.columns import FLAGS, Columns, columns_of
from deploybench.data.forms.folders import SPLIT_NAMES
from deploybench.data.forms.labels import MOST_CLASSES
from deploybench.data.forms.tables import Row, TableFile
from deploybench.data.options import DataOptions, Uncertain
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted

SEPARATORS = re.compile(r"[|;]")
"""Between the labels of one cell."""
UNCERTAIN_WORDS = {
    "ones": "counted as present (U-Ones)",
    "zeros": "counted as absent (U-Zeros)",
    "ignore": "left out",
}
MOST_NAMED = 8


@dataclass(frozen=True)
class Listed:
    """A row as it was read: the key of its image, its labels as text or by column."""

    table: TableFile
    row: Row
    key: str
    label: str | None
    flags: tuple[int, ...]
    split: str | None
    group: str | None


@dataclass
class _Seen:
    """Which images were listed already, with what."""

    examples: dict[str, Example] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    repeated: int = 0

    def add(self, example: Example, place: str) -> None:
        """Raises DeployBenchError for an image that is listed twice, in two ways."""
        before = self.examples.get(example.key)
        if before is None:
            self.examples[example.key] = example
            self.places[example.key] = place
        elif before == example:
            self.repeated += 1
        else:
            raise DeployBenchError(
                f"{place}: {example.key} is listed in another way in {self.places[example.key]}",
                expected="each image once; several labels in one cell, with | between them",
            )


def open_manifest(tables: Sequence[tuple[TableFile, str | None]], options: DataOptions) -> DataSet:
    """The images that tables list; with each table the split that all of it is, or None.

    Paths are relative to the table. Raises DeployBenchError that names the file, the line and the
    column.
    """
    first = tables[0][0]
    root = first.path.parent
    columns = [columns_of(table, options) for table, _ in tables]
    flag_names = tuple(first.columns[index] for index in columns[0].flags)
    rows = list(_listed(root, tables, columns, flag_names))
    if not rows:
        raise DeployBenchError(
            f"{first.path} lists no image", expected="a row for each image under the first line"
        )
    _check_present(root, rows, columns[0].path)
    if flag_names:
        examples, names, task, notes = _by_flags(rows, flag_names, options.uncertain)
    else:
        examples, names, task, notes = _by_label(rows, columns[0].label, options)
    seen = _Seen()
    for example, listed in zip(examples, rows, strict=True):
        seen.add(example, listed.table.place(listed.row))
    away = sum(Path(example.key).is_absolute() for example in examples)
    if away:
        notes += (f"{counted(away, 'absolute path')}: the set is another one when they move",)
    if seen.repeated:
        notes += (f"{counted(seen.repeated, 'row')} listed the same image once more",)
    if options.unlabelled:
        notes += ("labels were not read",)
    files = " and ".join(table.path.name for table, _ in tables)
    data = DataSet(
        name=root.resolve().name,
        form=f"a list of images: {files}",
        root=root,
        class_names=names,
        task=task,
        examples=tuple(seen.examples.values()),
        images=ImageFiles(root),
        notes=notes,
    )
    if flag_names and options.class_names is not None:
        data = data.with_classes(options.class_names)
    return data


def _listed(
    root: Path,
    tables: Sequence[tuple[TableFile, str | None]],
    columns: Sequence[Columns],
    flag_names: tuple[str, ...],
) -> Iterator[Listed]:
    for (table, split_of_table), chosen in zip(tables, columns, strict=True):
        if tuple(table.columns[index] for index in chosen.flags) != flag_names:
            raise DeployBenchError(
                f"{table.path} has other columns of classes than {tables[0][0].path}",
                expected=", ".join(flag_names[:MOST_NAMED]) or "a column of labels",
            )
        for row in table.rows():
            path = row.cells[chosen.path].strip()
            if not path:
                raise DeployBenchError(
                    f"{table.place(row, chosen.path)} is empty", expected="the path of an image"
                )
            split = split_of_table
            if chosen.split is not None:
                said = row.cells[chosen.split].strip()
                split = SPLIT_NAMES.get(said.lower(), said) or split_of_table
            group = None
            if chosen.patient is not None:
                group = row.cells[chosen.patient].strip() or None
            label = None
            if chosen.label is not None:
                label = row.cells[chosen.label].strip()
            flags = tuple(_flag(table, row, index) for index in chosen.flags)
            # What a row is later needed for is its line.
            yield Listed(table, Row(row.line, ()), _key(root, path), label, flags, split, group)


def _key(root: Path, text: str) -> str:
    """The path with slashes, without steps that lead nowhere; relative where it can be."""
    path = Path(text.replace("\\", "/"))
    if path.is_absolute() and path.is_relative_to(root.absolute()):
        path = path.relative_to(root.absolute())
    return path.as_posix()


def _flag(table: TableFile, row: Row, column: int) -> int:
    cell = row.cells[column].strip()
    if cell not in FLAGS:
        raise DeployBenchError(
            f"{table.place(row, column)} is '{cell}'",
            expected="1 (present), 0 or nothing (absent), or -1 (uncertain)",
        )
    return FLAGS[cell]


def _check_present(root: Path, rows: Sequence[Listed], column: int) -> None:
    """Refuse a list that names files which are not there; say how many, and the first."""
    missing = [listed for listed in rows if not (root / listed.key).is_file()]
    if not missing:
        return
    first = missing[0]
    raise DeployBenchError(
        f"{first.table.place(first.row, column)}: there is no file {root / first.key}"
        + (f"; {len(missing)} of {len(rows)} are missing" if len(missing) > 1 else ""),
        expected="paths relative to the folder of the table",
        action="copy the images there, or take those rows out",
    )


Labelled = tuple[list[Example], tuple[str, ...], LabelTask, tuple[str, ...]]
"""Examples, names of classes, task, notes."""


def _example(listed: Listed) -> Example:
    return Example(listed.key, group=listed.group, split=listed.split)


def _by_flags(
    rows: Sequence[Listed], names: tuple[str, ...], uncertain: Uncertain | None
) -> Labelled:
    """A column a class. Where every row has exactly one, it is one of them, not any number."""
    notes: tuple[str, ...] = (f"a class a column: {', '.join(names[:MOST_NAMED])}",)
    if all(sum(listed.flags) == 1 and min(listed.flags) == 0 for listed in rows):
        examples = [replace(_example(listed), labels=(listed.flags.index(1),)) for listed in rows]
        return examples, names, "single-label", (*notes, "every image has exactly one of them")
    doubtful = sum(listed.flags.count(-1) for listed in rows)
    if doubtful:
        notes += (uncertain_note(doubtful, uncertain),)
    examples = [flagged(_example(listed), listed.flags, uncertain) for listed in rows]
    return examples, names, "multi-label", notes


def flagged(example: Example, flags: Sequence[int], uncertain: Uncertain | None) -> Example:
    """The example with the classes that its flags say: 1 present, 0 absent, -1 uncertain."""
    present = {index for index, flag in enumerate(flags) if flag == 1}
    doubtful = {index for index, flag in enumerate(flags) if flag == -1}
    if uncertain in (None, "ones"):
        present |= doubtful
    unknown: set[int] = set()
    if uncertain == "ignore":
        unknown = doubtful
    return replace(example, labels=tuple(sorted(present)), unknown=tuple(sorted(unknown)))


def uncertain_note(count: int, uncertain: Uncertain | None) -> str:
    """How many labels are uncertain, and what was made of them."""
    words = UNCERTAIN_WORDS[uncertain or "ones"]
    assumed = "; assumed, --uncertain sets it" if uncertain is None else ""
    return f"{counted(count, 'uncertain label')} (-1) {words}{assumed}"


def _by_label(rows: Sequence[Listed], column: int | None, options: DataOptions) -> Labelled:
    if column is None or not any(listed.label for listed in rows):
        notes: tuple[str, ...] = ()
        if column is not None:
            notes = ("no row has a label",)
        return [_example(listed) for listed in rows], (), "single-label", notes
    several = any(SEPARATORS.search(listed.label or "") for listed in rows)
    labels = [_labels_in(listed, column, several=several) for listed in rows]
    names, index_of = _classes(rows, labels, column, options)
    examples = [
        replace(_example(listed), labels=tuple(sorted({index_of[label] for label in mine})))
        for listed, mine in zip(rows, labels, strict=True)
    ]
    if several:
        return examples, names, "multi-label", ("several labels in a cell: a multi-label set",)
    return examples, names, "single-label", ()


def _labels_in(listed: Listed, column: int, *, several: bool) -> tuple[str, ...]:
    text = listed.label or ""
    if several:
        return tuple(part.strip() for part in SEPARATORS.split(text) if part.strip())
    if not text:
        raise DeployBenchError(
            f"{listed.table.place(listed.row, column)} is empty, and other rows have a label",
            expected="a label for every image",
            action="take the row out, or give it a label",
        )
    return (text,)


def _classes(
    rows: Sequence[Listed],
    labels: Sequence[tuple[str, ...]],
    column: int,
    options: DataOptions,
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The names of the classes in their order, and the index of each label that occurs."""
    found = {label for mine in labels for label in mine}
    named = options.class_names
    numbers = all(re.fullmatch(r"\d{1,9}", label) for label in found)
    if numbers and not (named and found <= set(named)):
        return _numbered(rows, labels, column, named)
    names = named or tuple(sorted(found))
    index_of = {name: index for index, name in enumerate(names)}
    for listed, mine in zip(rows, labels, strict=True):
        for label in mine:
            if label not in index_of:
                error = unknown_name("class", label, names)
                error.found = (
                    f"{listed.table.place(listed.row, column)}: '{label}' is none of the "
                    f"{counted(len(names), 'class', 'classes')}"
                )
                raise error
    if len(names) == 1:
        raise DeployBenchError(
            f"{rows[0].table.path} has one class only: '{names[0]}'",
            expected="two classes or more",
            action="name the classes that have no image here with --class-names",
        )
    return names, index_of


def _numbered(
    rows: Sequence[Listed],
    labels: Sequence[tuple[str, ...]],
    column: int,
    named: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Labels that are numbers are the places of classes, from 0 on."""
    table = rows[0].table
    present = {int(label) for mine in labels for label in mine}
    highest = max(present)
    if named is None and 0 not in present:
        raise DeployBenchError(
            f"{table.path}, column '{table.columns[column]}' has numbers from {min(present)} to "
            f"{highest}: whether {min(present)} is the first class, or the first ones have no "
            "image, is not known",
            expected="numbers from 0, or names",
            action="name all classes with --class-names, the first for 0, or write names into the "
            "table",
        )
    count = highest + 1 if named is None else len(named)
    if count > MOST_CLASSES:
        raise DeployBenchError(
            f"{table.path} has the label {highest}", expected=f"at most {MOST_CLASSES} classes"
        )
    for listed, mine in zip(rows, labels, strict=True):
        for label in mine:
            if int(label) >= count:
                raise DeployBenchError(
                    f"{listed.table.place(listed.row, column)}: {label} is no class",
                    expected=f"a number from 0 to {count - 1}, as {count} classes are named",
                )
    if count == 1:
        raise DeployBenchError(
            f"{table.path} has one class only: every label is 0",
            expected="two classes or more",
            action="name the classes that have no image here with --class-names",
        )
    names = named or tuple(str(number) for number in range(count))
    return names, {str(label): int(label) for mine in labels for label in mine}
