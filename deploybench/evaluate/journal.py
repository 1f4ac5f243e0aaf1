"""The predictions of one evaluation on disk: what a killed evaluation goes on from.

A row is the number of an image and the numbers that the model put out for it; rows are appended
batch by batch, in whatever order images came. A row that a kill cut short is dropped when the file
is opened again. Images that could not be read stand in a list of their own with the reason. Nothing
of it is in memory: the rows are read as a mapped file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import TextIO

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.predicted import IDENTITY
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole

Array = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

OUTPUTS, FAILED = "outputs.bin", "failed.jsonl"
ROWS_AT_ONCE = 1024
PROOF = "launch.json"
"""What the session was and that it passed parity, beside the predictions that it made."""


def row_type(numbers: int) -> np.dtype[np.void]:
    """A row: the image counted from 1, so that a row of zeros (what some disks leave after a power
    cut) is no image, and its outputs."""
    return np.dtype([("image", "<i8"), ("outputs", "<f4", (numbers,))])


@dataclass(frozen=True)
class Predictions:
    """What is in a journal: ``images`` (numbers in the data's order) and, row by row, ``outputs``
    (rows x numbers), a mapped file. ``failed`` are the images that did not read, with the reason.
    """

    images: Integers
    outputs: Array
    failed: dict[int, str]

    @property
    def count(self) -> int:
        """Images that are done with, read or not."""
        return len(self.images) + len(self.failed)


class Journal:
    """The folder of one evaluation. ``numbers`` are the outputs of one image."""

    def __init__(self, folder: Path, numbers: int) -> None:
        self.folder = folder
        self.row = row_type(numbers)

    def prepare(self, identity: dict[str, object], *, fresh: bool = False) -> None:
        """Make the folder, or go on in it. ``fresh`` forgets what is there.

        Raises DeployBenchError where it cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if fresh:
                for name in (OUTPUTS, FAILED, PROOF):
                    (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise DeployBenchError(
                f"{self.folder} cannot be written: {error.strerror or error}",
                action="free some space or choose another --workspace",
            ) from error
        if not (self.folder / IDENTITY).exists():
            write_whole(self.folder / IDENTITY, json.dumps(identity, indent=1, sort_keys=True))

    def read(self) -> Predictions:
        """All whole rows. Raises DeployBenchError for a file in which an image stands twice."""
        path = self.folder / OUTPUTS
        size = path.stat().st_size if path.exists() else 0
        count = size // self.row.itemsize
        if count:
            rows = np.memmap(path, dtype=self.row, mode="r", shape=(count,))
            numbers = self._numbers(path, count)
            # After a power cut the file may end in zeros.
            count = int(np.argmax(numbers == 0)) if (numbers == 0).any() else count
            images, outputs = numbers[:count] - 1, rows["outputs"][:count]
        else:
            images = np.empty(0, dtype=np.int64)
            outputs = np.empty((0, *self.row["outputs"].shape), dtype=np.float32)
        if len(np.unique(images)) < len(images):
            raise DeployBenchError(
                f"{path} holds an image twice",
                expected="each image once",
                action="evaluate again with --fresh",
            )
        return Predictions(images, outputs, self._failed())

    def _numbers(self, path: Path, count: int) -> Integers:
        """The images of so many rows, counted from 1. Read in parts: through the mapped file every
        page of the outputs would come into memory with them."""
        numbers = np.zeros(count, dtype=np.int64)
        with path.open("rb") as stream:
            for first in range(0, count, ROWS_AT_ONCE):
                rows = np.fromfile(stream, dtype=self.row, count=min(ROWS_AT_ONCE, count - first))
                numbers[first : first + len(rows)] = rows["image"]
        return numbers

    def done(self) -> int:
        """How many images are done with, as far as the sizes of the files tell: for progress."""
        count = 0
        with suppress(FileNotFoundError):
            count += (self.folder / OUTPUTS).stat().st_size // self.row.itemsize
        with suppress(FileNotFoundError):
            count += (self.folder / FAILED).read_bytes().count(b"\n")
        return count

    def writer(self) -> JournalWriter:
        """Append to what is there; what a kill left of a row is cut off first."""
        return JournalWriter(self)

    def _failed(self) -> dict[int, str]:
        failed: dict[int, str] = {}
        path = self.folder / FAILED
        if not path.exists():
            return failed
        for line in path.read_text("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line that was cut short
                entry = json.loads(line)
                failed[int(entry["image"])] = str(entry["reason"])
        return failed


class JournalWriter:
    """Appends rows; a context manager. What it was given is in the files once a call returns."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._outputs: BufferedWriter | None = None
        self._failed: TextIO | None = None

    def __enter__(self) -> JournalWriter:
        folder = self._journal.folder
        whole = len(self._journal.read().images)
        outputs = (folder / OUTPUTS).open("ab")
        outputs.truncate(whole * self._journal.row.itemsize)
        self._outputs = outputs
        path = folder / FAILED
        torn = path.exists() and not path.read_bytes().endswith(b"\n")
        failed = path.open("a", encoding="utf-8")
        if torn:
            failed.write("\n")
        self._failed = failed
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in (self._outputs, self._failed):
            if stream is not None:
                stream.close()

    def add(self, images: Sequence[int], outputs: Array) -> None:
        """The rows of a batch: ``outputs`` is images x numbers."""
        assert self._outputs is not None
        rows = np.empty(len(images), dtype=self._journal.row)
        rows["image"] = np.asarray(images) + 1
        rows["outputs"] = outputs
        self._outputs.write(rows.tobytes())
        self._outputs.flush()

    def add_failed(self, image: int, reason: str) -> None:
        assert self._failed is not None
        self._failed.write(json.dumps({"image": image, "reason": reason}) + "\n")
        self._failed.flush()
