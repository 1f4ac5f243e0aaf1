"""One door for data: which form a folder or a file has, and the set that it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploybench.data.dataset import DataSet, check_class_names
from deploybench.data.forms import (
    chexpert,
    cifar,
    columns,
    folders,
    manifest,
    mnist,
    npz,
    radimagenet,
    synthetic_mark,
)
from deploybench.data.forms.tables import TABLE_SUFFIXES, TableFile, is_table
from deploybench.data.options import ColumnUse, DataOptions, Uncertain
from deploybench.errors import DeployBenchError

MANIFEST_NAMES = frozenset({"manifest", "labels", "metadata", "dataset", "annotations", "data"})
"""What a table beside images is called that lists them, without its suffix, in lower case."""
INNER_FOLDERS = (
    "cifar-10-batches-py",
    "cifar-100-python",
    "cifar-10-batches-bin",
    "cifar-100-binary",
    "MNIST/raw",
    "raw",
)
"""Folders of an archive, or of torchvision, in which the files themselves lie."""
FORMS = (
    "a folder of images (a folder a class, also within train, val and test), a table that lists "
    f"images ({', '.join(TABLE_SUFFIXES)}), CheXpert's or RadImageNet's folder, CIFAR's or MNIST's "
    "files, or an .npz"
)


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    uncertain: Uncertain | None = None,
    unlabelled: bool = False,
    columns: Mapping[ColumnUse, str] | None = None,
) -> DataSet:
    """The set of images in a folder or a file; its form is recognised.

    No image is read: one that does not read shows when it is asked for. ``split`` None takes all.
    ``class_names`` are the classes in the order of the labels: of numbered labels they are the
    names, of named ones the order. ``uncertain`` says what a label of -1 counts as; None is
    ``ones``, and said in the notes. ``columns`` says which column of a table is which.

    Raises DeployBenchError that names the file, the line and the column of what is wrong, and for
    data without images, with one class only (unless ``class_names`` names more), or in no form
    that is known.
    """
    names = None
    if class_names is not None:
        names = tuple(class_names)
        check_class_names(names)
    options = DataOptions(names, uncertain, unlabelled, dict(columns or {}))
    data = _recognised(Path(path), options)
    if split is not None:
        data = data.in_split(split)
    return data


def _recognised(path: Path, options: DataOptions) -> DataSet:
    try:
        if path.is_dir():
            return synthetic_mark.marked(_of_folder(path, options))
        if path.is_file():
            return synthetic_mark.marked(_of_file(path, options))
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror}", action="check the path"
        ) from None
    if there:
        raise DeployBenchError(f"{path} is a device, a pipe or a socket", expected=FORMS)
    raise DeployBenchError(f"there is no data at {path}", expected=FORMS, action="check the path")


def _of_folder(folder: Path, options: DataOptions) -> DataSet:
    for inner in ("", *INNER_FOLDERS):
        inside = folder / inner
        form = cifar.form_of(inside)
        if form is not None:
            return cifar.open_cifar(inside, form, options)
        if inside.is_dir() and mnist.image_files(inside):
            return mnist.open_mnist(inside, options)
    if not options.unlabelled:
        tables = radimagenet.tables_of(folder)
        if tables:
            return radimagenet.open_tables(folder, tables, options)
        brain = radimagenet.brain_folder(folder)
        if brain is not None:
            return radimagenet.open_brain(brain, options)
    listed = _tables_in(folder)
    if listed:
        return _of_tables(listed, options)
    archives = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".npz")
    if len(archives) == 1 and not folders.files_in(folder) and not folders.folders_in(folder):
        return npz.open_npz(archives[0], options)
    return folders.open_folder(folder, options)


def _tables_in(folder: Path) -> list[tuple[TableFile, str | None]]:
    """The tables of a folder that list its images: one for each split, or one for all."""
    tables = [TableFile(path) for path in sorted(folder.iterdir()) if is_table(path)]
    by_split: list[tuple[TableFile, str | None]] = [
        (table, folders.SPLIT_NAMES[table.path.stem.lower()])
        for table in tables
        if table.path.stem.lower() in folders.SPLIT_NAMES and columns.has_paths(table)
    ]
    if by_split:
        return by_split
    named = [
        table
        for table in tables
        if table.path.stem.lower() in MANIFEST_NAMES and columns.has_paths(table)
    ]
    if len(named) > 1:
        raise DeployBenchError(
            f"{folder} has several tables that list images: "
            f"{', '.join(table.path.name for table in named)}",
            expected="one",
            action=f"name the table itself: {named[0].path}",
        )
    return [(table, None) for table in named]


def _of_file(path: Path, options: DataOptions) -> DataSet:
    if path.suffix.lower() == ".npz":
        return npz.open_npz(path, options)
    if is_table(path):
        stem = path.stem.lower()
        split = folders.SPLIT_NAMES.get(stem)
        return _of_tables([(TableFile(path), split)], options)
    raise DeployBenchError(
        f"{path} is no set of images in a form that is known",
        expected=FORMS,
        action="name the folder that it lies in",
    )


def _of_tables(tables: list[tuple[TableFile, str | None]], options: DataOptions) -> DataSet:
    if all(chexpert.is_chexpert(table) for table, _ in tables) and not options.unlabelled:
        return chexpert.open_chexpert(tables, options)
    return manifest.open_manifest(tables, options)
