"""The mark of images that a program made: a file beside them says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from deploybench.data.dataset import DataSet
from deploybench.documents import Document, read_document
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_bytes

MARK = "dataset.json"
MOST_BYTES = 4 << 20
"""Of a mark: it has a line a class. What is larger is refused before it is read."""


class MadeClass(Document):
    """A class of a set that was made: its name, its images, and that they are no real ones."""

    name: str
    images: int
    synthetic: bool


class MadeSet(Document):
    """What a program says of a set that it made.

    ``synthetic`` says in words what the images are and are not; None where they are real ones that
    were only written out.
    """

    name: str
    synthetic: str | None
    source: str
    seed: int | None
    made_by: str
    classes: tuple[MadeClass, ...]


def marked(data: DataSet) -> DataSet:
    """The set with what the mark beside it says. Raises DeployBenchError for a damaged one."""
    for folder in (data.root, data.root.parent):
        path = folder / MARK
        if path.is_file():
            made = _read(path)
            if made is not None:
                return replace(data, synthetic=made.synthetic, name=made.name)
    return data


def _read(path: Path) -> MadeSet | None:
    """The mark; None for a file of that name that is somebody else's."""
    try:
        content = read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror or error}",
            expected="what deploybench data make writes beside the images",
            action="move that file away, or make the set again",
        ) from None
    if b'"made_by"' not in content:
        return None
    return read_document(
        MadeSet,
        content,
        origin=str(path),
        what="the mark of a set that was made",
        expected="what deploybench data make writes",
        action="make the set again",
    )
