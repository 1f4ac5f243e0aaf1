"""CIFAR-10 and CIFAR-100 in their own files: the pickles for Python, and the binary ones.

https://www.cs.toronto.edu/~kriz/cifar.html: an image is 3,072 bytes, 1,024 of red, then of green,
then of blue, row by row. In a binary file its label stands before it; CIFAR-100 has two, the coarse
one first. The fine label is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.labels import class_names_of_numbers, numbered_examples
from deploybench.data.forms.pickled import damaged, read_pickled, rows_of
from deploybench.data.options import DataOptions
from deploybench.data.sources import ImageRows, StoredImages
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.untrusted import read_bytes

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Form:
    """The files of one of the four: which is which split, and where the names of classes are."""

    name: str
    splits: tuple[tuple[str, str], ...]
    """(file, split)."""
    names_file: str
    names_key: str = ""
    labels_key: str = ""
    label_bytes: int = 0
    """Before an image in a binary file; the last of them is the label. 0: a pickle."""


TEN = tuple((f"data_batch_{number}", "train") for number in range(1, 6))
TEN_BINARY = tuple((f"{name}.bin", split) for name, split in TEN)
FORMS = (
    Form(
        "CIFAR-10 (pickles for Python)",
        (*TEN, ("test_batch", "test")),
        "batches.meta",
        names_key="label_names",
        labels_key="labels",
    ),
    Form(
        "CIFAR-100 (pickles for Python)",
        (("train", "train"), ("test", "test")),
        "meta",
        names_key="fine_label_names",
        labels_key="fine_labels",
    ),
    Form(
        "CIFAR-10 (binary)",
        (*TEN_BINARY, ("test_batch.bin", "test")),
        "batches.meta.txt",
        label_bytes=1,
    ),
    Form(
        "CIFAR-100 (binary)",
        (("train.bin", "train"), ("test.bin", "test")),
        "fine_label_names.txt",
        label_bytes=2,
    ),
)


def form_of(folder: Path) -> Form | None:
    """Which of the four lies in a folder: the names of its classes, and a batch or more."""
    for form in FORMS:
        batches = [name for name, _ in form.splits if (folder / name).is_file()]
        if (folder / form.names_file).is_file() and batches:
            return form
    return None


def open_cifar(folder: Path, form: Form, options: DataOptions) -> DataSet:
    """The set of CIFAR's files in a folder. Raises DeployBenchError."""
    parts: dict[str, StoredImages] = {}
    files: dict[str, Path] = {}
    labels: dict[str, npt.NDArray[np.int64]] = {}
    splits: dict[str, str] = {}
    missing = []
    for name, split in form.splits:
        path = folder / name
        if not path.is_file():
            missing.append(name)
            continue
        read = _from_binary if form.label_bytes else _from_pickle
        parts[name], labels[name] = read(path, form)
        files[name] = path
        splits[name] = split
    names = options.class_names or _names(folder, form)
    class_names = class_names_of_numbers(labels, files, names)
    examples: list[Example] = []
    for part, numbers in labels.items():
        examples += numbered_examples(part, numbers, split=splits[part])
    notes: tuple[str, ...] = ()
    if missing:
        notes = (f"not there: {', '.join(missing)}",)
    return DataSet(
        name=folder.resolve().name,
        form=form.name,
        root=folder,
        class_names=class_names,
        task="single-label",
        examples=tuple(examples),
        images=ImageRows(parts, files),
        notes=notes,
    )


def _from_pickle(path: Path, form: Form) -> tuple[StoredImages, npt.NDArray[np.int64]]:
    content = read_pickled(path)
    labels = content.get(form.labels_key)
    if "data" not in content or not isinstance(labels, list):
        raise damaged(path, f"it lacks 'data' or the list '{form.labels_key}'")
    rows = rows_of(path, content["data"])
    if rows.columns != PIXELS or rows.rows != len(labels):
        raise damaged(
            path, f"{rows.rows} images of {rows.columns} bytes, and {counted(len(labels), 'label')}"
        )
    if not all(isinstance(label, int) and 0 <= label < 1 << 31 for label in labels):
        raise damaged(path, "a label is no number")
    stored = StoredImages(rows.path, rows.offset, PIXELS, rows.rows, SHAPE, planar=True)
    return stored, np.array(labels, dtype=np.int64)


def _from_binary(path: Path, form: Form) -> tuple[StoredImages, npt.NDArray[np.int64]]:
    step = form.label_bytes + PIXELS
    size = path.stat().st_size
    if not size or size % step:
        raise DeployBenchError(
            f"{path} has {size} bytes",
            expected=f"a multiple of {step}: {form.label_bytes} of label and {PIXELS} of an image",
            action="copy or download it again",
        )
    count = size // step
    # Only the column of labels is touched; the file is not read.
    rows = np.memmap(path, dtype=np.uint8, mode="r", shape=(count, step))
    labels = np.array(rows[:, form.label_bytes - 1], dtype=np.int64)
    stored = StoredImages(path, form.label_bytes, step, count, SHAPE, planar=True)
    return stored, labels


def _names(folder: Path, form: Form) -> tuple[str, ...]:
    path = folder / form.names_file
    if form.label_bytes:
        lines = read_bytes(path).decode("utf-8", errors="replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    names = read_pickled(path).get(form.names_key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise damaged(path, f"it lacks the list '{form.names_key}'")
    return tuple(names)
