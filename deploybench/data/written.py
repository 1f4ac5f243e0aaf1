"""A set written out as a table that lists its images: path, label, split, patient.

A multi-label set has a column for each class: 1, 0, or -1 where nobody says.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.tables import SEVERAL
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole

COLUMNS = ("path", "split", "patient")
LABEL = "label"


def write_table(data: DataSet, path: Path) -> None:
    """Write the table; the paths in it are relative to its own folder.

    Raises DeployBenchError for a set whose images are no files, for names of classes that a cell
    cannot hold, and for another kind of file.
    """
    if not isinstance(data.images, ImageFiles):
        raise DeployBenchError(
            f"the images of {data.root} lie in files of many: {data.form}",
            expected="a set in which each image is a file",
        )
    if path.suffix.lower() != ".csv":
        raise DeployBenchError(f"--out {path}", expected="a name that ends in .csv")
    unsafe = [name for name in data.class_names if SEVERAL in name or ";" in name]
    if unsafe:
        raise DeployBenchError(
            f"the class '{unsafe[0]}' holds a mark that separates labels",
            expected="names without | and ;",
        )
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    header: tuple[str, ...] = COLUMNS
    if data.class_names:
        header += (LABEL,) if data.task == "single-label" else data.class_names
    writer.writerow(header)
    for example in data.examples:
        image = os.path.relpath(data.images.root / example.key, path.parent)
        described = (Path(image).as_posix(), example.split or "", example.group or "")
        writer.writerow((*described, *_labels(data, example)))
    write_whole(path, stream.getvalue())


def _labels(data: DataSet, example: Example) -> tuple[str, ...]:
    if not data.class_names:
        return ()
    labels = example.labels or ()
    if data.task == "single-label":
        return ("".join(data.class_names[index] for index in labels),)
    flags = ["0"] * len(data.class_names)
    for index in labels:
        flags[index] = "1"
    for index in example.unknown:
        flags[index] = "-1"
    return tuple(flags)
