"""RadImageNet's brain MRI (Mei et al. 2022): ten classes, a folder each, under ``MR/brain``.

Its split comes in three tables, ``RadiologyAI_train.csv`` and so on, which list all organs; where
they lie beside the images, the rows of the brain are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.chexpert import root_of
from deploybench.data.forms.folders import folders_in, images_below
from deploybench.data.forms.tables import TableFile
from deploybench.data.options import DataOptions
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError

BRAIN_MRI = (
    "acute_infarct",
    "arteriovenous_anomaly",
    "chronic_infarct",
    "edema",
    "extra",
    "focal_flair_hyper",
    "intra",
    "normal",
    "pituatary_lesion",
    "white_matter_changes",
)
"""As the folders are spelt, in the order of the alphabet."""
WITHIN = ("", "brain", "MR/brain", "radiology_ai/MR/brain", "radimagenet/MR/brain")
"""Where the ten folders may lie in the folder that is named."""
TABLES = {
    "RadiologyAI_train.csv": "train",
    "RadiologyAI_val.csv": "val",
    "RadiologyAI_test.csv": "test",
}
FILENAME = "filename"
BRAIN = ("MR", "brain")
LEAST_FOLDERS = 5
"""Of the ten; a part of the set may lack some."""


def brain_folder(folder: Path) -> Path | None:
    """The folder in which the ten classes lie; None where this is no such set."""
    for within in WITHIN:
        inside = folder / within
        if not inside.is_dir():
            continue
        names = {inner.name for inner in folders_in(inside)}
        if names <= set(BRAIN_MRI) and len(names) >= LEAST_FOLDERS:
            return inside
    return None


def tables_of(folder: Path) -> list[tuple[TableFile, str]]:
    """The three tables of the split, with the split of each."""
    return [
        (TableFile(folder / name), split)
        for name, split in TABLES.items()
        if (folder / name).is_file()
    ]


def open_brain(folder: Path, options: DataOptions) -> DataSet:
    """The ten folders, without a split. Raises DeployBenchError."""
    examples = [
        Example(key, labels=(index,))
        for index, name in enumerate(BRAIN_MRI)
        if (folder / name).is_dir()
        for key in images_below(folder, folder / name)
    ]
    if not examples:
        raise DeployBenchError(f"the folders of classes in {folder} hold no image")
    return _data(folder, folder, examples, (), options)


def open_tables(
    folder: Path, tables: Sequence[tuple[TableFile, str]], options: DataOptions
) -> DataSet:
    """The rows of the brain in the tables of the split.

    Raises DeployBenchError that names the file, the line and the column.
    """
    examples: list[Example] = []
    root: Path | None = None
    levels = 0
    others = 0
    for table, split in tables:
        column = table.column(FILENAME)
        for row in table.rows():
            parts = PurePosixPath(row.cells[column].strip()).parts
            if BRAIN not in pairwise(parts):
                others += 1
                continue
            if root is None:
                root, levels = root_of(folder, "/".join(parts))
            name = parts[parts.index("brain") + 1] if parts[-1] != "brain" else ""
            if name not in BRAIN_MRI:
                raise DeployBenchError(
                    f"{table.place(row, column)}: '{name}' is none of the ten classes",
                    expected=f"MR/brain/CLASS/FILE, CLASS one of {', '.join(BRAIN_MRI)}",
                )
            key = "/".join(parts[levels:])
            if not (root / key).is_file():
                raise DeployBenchError(
                    f"{table.place(row, column)}: there is no file {root / key}",
                    action="unpack the images beside the tables",
                )
            examples.append(Example(key, labels=(BRAIN_MRI.index(name),), split=split))
    if root is None:
        raise DeployBenchError(f"the tables in {folder} list no image of MR/brain")
    notes: tuple[str, ...] = ()
    if others:
        notes = (f"left out: {others} rows of other organs",)
    return _data(folder, root, examples, notes, options)


def _data(
    folder: Path,
    root: Path,
    examples: Sequence[Example],
    notes: tuple[str, ...],
    options: DataOptions,
) -> DataSet:
    data = DataSet(
        name=folder.resolve().name,
        form="brain MRI in RadImageNet's layout",
        root=root,
        class_names=BRAIN_MRI,
        task="single-label",
        examples=tuple(examples),
        images=ImageFiles(root),
        notes=(*notes, "the patients are not known: images of one may be in two splits"),
    )
    if options.class_names is not None:
        data = data.with_classes(options.class_names)
    return data
