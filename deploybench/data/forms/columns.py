"""Which column of a table is the image's path, its label, its split, its patient."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from deploybench.data.forms.tables import TableFile
from deploybench.data.options import ColumnUse, DataOptions, LabelsLackError
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

NAMES: Mapping[ColumnUse, frozenset[str]] = {
    "path": frozenset(
        {
            *("path", "file", "filename", "filepath", "filenames", "image", "images", "img"),
            *("imagepath", "imagefile", "imagefilename", "imagename", "imageindex", "imgpath"),
        }
    ),
    "label": frozenset(
        {
            *("label", "labels", "class", "classes", "classname", "target", "category", "y"),
            *("diagnosis", "dx", "finding", "findinglabels", "groundtruth"),
        }
    ),
    "split": frozenset({"split", "subset", "set", "partition", "fold"}),
    "patient": frozenset({"patient", "patientid", "subject", "subjectid", "group", "groupid"}),
}
"""In lower case, without what is no letter."""
FLAGS = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": 0, "-1": -1, "-1.0": -1}
"""What a cell says of one class in a column of its own; empty: not mentioned. -1: uncertain."""
LISTED = 12


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their use. ``flags`` has a class a column: present, or not."""

    path: int
    label: int | None
    split: int | None
    patient: int | None
    flags: tuple[int, ...] = ()


def has_paths(table: TableFile) -> bool:
    """Whether a column of the table is by its name the path of images."""
    return any(_bare(name) in NAMES["path"] for name in table.columns)


def columns_of(table: TableFile, options: DataOptions) -> Columns:
    """The columns by their use. Raises DeployBenchError where that is not clear."""
    path = _column(table, "path", options)
    if path is not None and path in table.nested:
        raise DeployBenchError(
            f"{table.path}, column '{table.columns[path]}' holds the images themselves, or "
            "structures, and no paths",
            expected="paths of image files",
            action="write the images into files, and their paths into the table",
        )
    if path is None:
        raise DeployBenchError(
            f"{table.path} has no column of paths: {', '.join(table.columns[:LISTED])}",
            expected="a first line such as: path,label,split,patient",
            action="say which it is: --column path=NAME",
        )
    split = _column(table, "split", options)
    patient = _column(table, "patient", options)
    label = None
    if not options.unlabelled:
        label = _column(table, "label", options)
    found = Columns(path, label, split, patient)
    if label is not None or options.unlabelled:
        return found
    others = [index for index in range(len(table.columns)) if index not in (path, split, patient)]
    flags = _flag_columns(table, others, options)
    if not flags and others:
        names = ", ".join(table.columns[index] for index in others[:LISTED])
        raise LabelsLackError(
            f"{table.path} has no column of labels by a name that is known: {names}",
            expected="a column 'label', or two or more of 0 and 1, one a class",
            action="say which it is: --column label=NAME; --unlabelled takes images without labels",
        )
    return Columns(path, None, split, patient, flags)


def _column(table: TableFile, use: ColumnUse, options: DataOptions) -> int | None:
    """The column that is said to be for that use, or whose name says so."""
    if use in options.columns:
        return table.column(options.columns[use])
    said = {table.column(name) for name in options.columns.values()}
    fitting = [
        index
        for index, name in enumerate(table.columns)
        if _bare(name) in NAMES[use] and index not in said
    ]
    if len(fitting) > 1:
        names = " and ".join(f"'{table.columns[index]}'" for index in fitting)
        raise DeployBenchError(
            f"{table.path} has {counted(len(fitting), 'column')} that may be the {use}: {names}",
            action=f"say which it is: --column {use}={table.columns[fitting[0]]}",
        )
    return fitting[0] if fitting else None


def _bare(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _flag_columns(table: TableFile, others: list[int], options: DataOptions) -> tuple[int, ...]:
    """The columns that say of one class each whether an image has it."""
    if options.class_names is not None and set(options.class_names) <= set(table.columns):
        return tuple(table.column(name) for name in options.class_names)
    possible = list(others)
    for row in table.rows():
        possible = [index for index in possible if row.cells[index].strip() in FLAGS]
        if len(possible) < 2:
            return ()
    return tuple(possible)
