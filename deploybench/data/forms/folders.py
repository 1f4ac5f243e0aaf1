"""Folders of images: a folder a class, with or without folders of splits; or one without classes.

::

    data/cat/1.jpg     data/train/cat/1.jpg     data/1.jpg
    data/dog/2.jpg     data/val/dog/2.jpg       data/2.jpg
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploybench.data.dataset import DataSet, Example
from deploybench.data.image_files import IMAGE_SUFFIXES, is_image
from deploybench.data.options import DataOptions, LabelsLackError
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""What folders and columns call a split, in lower case, and its name here."""
CLASSES = "image folder: a folder a class"
CLASSES_IN_SPLITS = "image folders of splits, in each a folder a class"
"""What the two forms are called in which every folder with images counts."""
FROM_OTHER_SYSTEMS = frozenset({"__MACOSX", "$RECYCLE.BIN", "@eaDir", "lost+found"})
MOST_NAMED = 8


@dataclass(frozen=True)
class _ClassFolder:
    """A folder whose name is a class, with the images in it at any depth."""

    name: str
    split: str | None
    keys: tuple[str, ...]


def open_folder(root: Path, options: DataOptions) -> DataSet:
    """The set of images in a folder. Raises DeployBenchError."""
    inside = folders_in(root)
    loose = tuple(file.name for file in files_in(root))
    if options.unlabelled or not inside:
        return _unlabelled(root)
    splits = _split_folders(root, inside, options)
    notes: tuple[str, ...] = ()
    if splits:
        if loose:
            notes = (f"left out: {counted(len(loose), 'image')} beside the folders of splits",)
        return _with_splits(root, splits, options, notes)
    classes = [_class_folder(root, folder, None) for folder in inside]
    if not any(folder.keys for folder in classes):
        return _unlabelled(root)
    notes = _notes_of_empty(classes)
    if loose:
        notes += (f"left out: {counted(len(loose), 'image')} beside the folders of classes",)
    return _labelled(root, classes, options, CLASSES, notes)


def _split_folders(root: Path, inside: list[Path], options: DataOptions) -> list[Path]:
    """The folders that are splits; none where all are classes.

    Raises DeployBenchError where some have the name of a split, and others hold images too.
    """
    splits = [folder for folder in inside if folder.name.lower() in SPLIT_NAMES]
    said = set(options.class_names or ())
    if not splits or {folder.name for folder in splits} <= said:
        return []
    others = [
        folder.name
        for folder in inside
        if folder not in splits and next(images_below(root, folder), None) is not None
    ]
    if others:
        raise DeployBenchError(
            f"{root} has folders of splits ({_names(splits)}) and others with images "
            f"({', '.join(others[:MOST_NAMED])})",
            expected="folders of splits alone, or folders of classes alone",
            action="name a folder within it; or name all folders as classes with --class-names",
        )
    return splits


def _names(folders: list[Path]) -> str:
    return ", ".join(folder.name for folder in folders[:MOST_NAMED])


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones and those that systems make."""
    return sorted(
        path
        for path in _listed(folder)
        if path.is_dir() and not path.name.startswith(".") and path.name not in FROM_OTHER_SYSTEMS
    )


def files_in(folder: Path) -> list[Path]:
    """The images that lie in the folder itself, by name."""
    return sorted(path for path in _listed(folder) if not path.is_dir() and is_image(path))


def images_below(root: Path, folder: Path) -> Iterator[str]:
    """The keys of the images in a folder and its folders, sorted folder by folder.

    A link to a folder is followed, but not into a folder that the way led through already.
    """
    yield from _below(root, folder, frozenset())


def _below(root: Path, folder: Path, passed: frozenset[Path]) -> Iterator[str]:
    real = folder.resolve()
    if real in passed:
        return
    for file in files_in(folder):
        yield file.relative_to(root).as_posix()
    for inner in folders_in(folder):
        yield from _below(root, inner, passed | {real})


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise DeployBenchError(
            f"the folder {folder} cannot be read: {error.strerror}", action="check the permissions"
        ) from None


def _class_folder(root: Path, folder: Path, split: str | None) -> _ClassFolder:
    return _ClassFolder(folder.name, split, tuple(images_below(root, folder)))


def _notes_of_empty(classes: list[_ClassFolder]) -> tuple[str, ...]:
    names = [folder.name for folder in classes if not folder.keys]
    if not names:
        return ()
    return (f"no image in {counted(len(names), 'folder')}: {', '.join(names[:MOST_NAMED])}",)


def _unlabelled(root: Path) -> DataSet:
    keys = tuple(images_below(root, root))
    if not keys:
        raise no_images(root)
    return DataSet(
        name=root.resolve().name,
        form="folder of images without labels",
        root=root,
        class_names=(),
        task="single-label",
        examples=tuple(Example(key) for key in keys),
        images=ImageFiles(root),
    )


def _with_splits(
    root: Path, splits: list[Path], options: DataOptions, notes: tuple[str, ...]
) -> DataSet:
    """Folders train, val and test, with folders of classes in each; or without classes."""
    classes = []
    loose = []
    for folder in splits:
        split = SPLIT_NAMES[folder.name.lower()]
        classes += [_class_folder(root, inner, split) for inner in folders_in(folder)]
        loose += [
            Example(file.relative_to(root).as_posix(), split=split) for file in files_in(folder)
        ]
    if not any(folder.keys for folder in classes):
        if not loose:
            raise no_images(root)
        return DataSet(
            name=root.resolve().name,
            form="folders of splits, images without labels",
            root=root,
            class_names=(),
            task="single-label",
            examples=tuple(loose),
            images=ImageFiles(root),
            notes=notes,
        )
    if loose:
        notes += (f"left out: {counted(len(loose), 'image')} beside the folders of classes",)
    if options.class_names is None:
        _check_splits_agree(root, classes)
    return _labelled(root, classes, options, CLASSES_IN_SPLITS, notes)


def _check_splits_agree(root: Path, classes: list[_ClassFolder]) -> None:
    """Refuse a class that is evaluated and never trained: a name is spelt in two ways."""
    trained = {folder.name for folder in classes if folder.split == "train"}
    for folder in classes:
        if trained and folder.name not in trained and folder.keys:
            raise DeployBenchError(
                f"{root} has the class '{folder.name}' in {folder.split} and not in train",
                expected=f"one of {', '.join(sorted(trained)[:MOST_NAMED])}",
                action="rename the folder, or name all classes in the model's order with "
                "--class-names",
            )


def _labelled(
    root: Path,
    classes: list[_ClassFolder],
    options: DataOptions,
    form: str,
    notes: tuple[str, ...],
) -> DataSet:
    names = options.class_names or tuple(sorted({folder.name for folder in classes}))
    position = {name: index for index, name in enumerate(names)}
    for folder in classes:
        if folder.keys and folder.name not in position:
            error = unknown_name("class", folder.name, names, action="check --class-names")
            error.found = f"{root} has a folder for the class '{folder.name}', which is not named"
            raise error
    if len(names) == 1:
        within = root / names[0]
        action = f"for images without labels name the folder itself: {within}, or use --unlabelled"
        if within.is_dir() and folders_in(within):
            action = f"if the classes are the folders in {within}, name that one"
        raise LabelsLackError(
            f"{root} has one class only: '{names[0]}'",
            expected="a folder for each of two classes or more",
            action=f"{action}; --class-names names classes that have no image here",
        )
    examples = tuple(
        Example(key, labels=(position[folder.name],), split=folder.split)
        for folder in classes
        for key in folder.keys
    )
    return DataSet(
        name=root.resolve().name,
        form=form,
        root=root,
        class_names=names,
        task="single-label",
        examples=examples,
        images=ImageFiles(root),
        notes=notes,
    )


def no_images(root: Path) -> DeployBenchError:
    """The refusal of a folder without images."""
    return DeployBenchError(
        f"the folder {root} holds no image",
        expected=f"files that end in {', '.join(IMAGE_SUFFIXES)}, or DICOM, in folders of classes "
        "or not",
        action="check the path",
    )
