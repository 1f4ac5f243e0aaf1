"""A set of images with what is known of them: classes, split, patient. Pixels stay on disk.

:func:`deploybench.data.opening.open_data` makes one of a folder or a file in any form that is
known. What it holds of an image is a line of a list: an image itself is read when it is asked for,
by the same code as everywhere (:mod:`deploybench.data.preprocess`), and forgotten.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import Picture
from deploybench.data.preprocess import ImageInput, input_of
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted

LabelTask = Literal["single-label", "multi-label"]
PRESENT, ABSENT, NOT_KNOWN = 1, 0, -1
"""What :meth:`DataSet.targets` says of a class in an image."""
USUAL_SPLITS = ("train", "val", "test")
NAMED = 12
"""So many classes are named in an error."""
UNREADABLE = "unreadable"
"""In place of an image's hash."""
HASHED_AT_ONCE = 256
HASHING_THREADS = 4


@dataclass(frozen=True, slots=True)
class Example:
    """One image: how it is found in its set, and what is known of it.

    ``key`` is unique in the set and the same wherever the set lies: a path within the folder, or
    the place in a file of many images (``test/000012``). ``labels`` are the indices of the classes
    that it has, one of them in a single-label set, any number in a multi-label set; None where
    there is no label. ``unknown`` are those classes of a multi-label set of which nobody says
    whether the image has them. ``group`` is the patient, or whatever else images share.
    """

    key: str
    labels: tuple[int, ...] | None = None
    unknown: tuple[int, ...] = ()
    group: str | None = None
    split: str | None = None


class ImageSource(Protocol):
    """Where the images of a set lie."""

    def picture(self, key: str, spec: Preprocessing) -> Picture:
        """The image, decoded, the right way up, in the channels of ``spec``; not resized.

        Raises DeployBenchError for an image that does not read.
        """

    def content(self, key: str) -> bytes:
        """The bytes that make the image what it is: what is hashed. Raises DeployBenchError."""

    def place(self, key: str) -> str:
        """Where the image lies, as an error says it."""


@dataclass(frozen=True)
class DataSet:
    """Images, classes and how they belong together.

    ``class_names`` are in the order of the labels; empty where no image has a label. ``form`` says
    in words what was recognised, ``notes`` what was decided that the files leave open, and
    ``synthetic`` what the images are where they were made by a program (None: nothing says so).
    """

    name: str
    form: str
    root: Path
    class_names: tuple[str, ...]
    task: LabelTask
    examples: tuple[Example, ...]
    images: ImageSource
    notes: tuple[str, ...] = ()
    synthetic: str | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    @property
    def labelled(self) -> bool:
        """Whether every image has its label (in a multi-label set that may be: no class)."""
        return all(example.labels is not None for example in self.examples)

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits: train, val and test first, others as they first appear."""
        names = dict.fromkeys(
            example.split for example in self.examples if example.split is not None
        )
        usual = [name for name in USUAL_SPLITS if name in names]
        return (*usual, *(name for name in names if name not in usual))

    def input(self, example: Example, spec: Preprocessing) -> ImageInput:
        """The image as a model's input: float32, channels x height x width, normalised.

        Raises DeployBenchError for an image that does not read.
        """
        return input_of(self.picture(example, spec), spec, self.place(example))

    def picture(self, example: Example, spec: Preprocessing) -> Picture:
        """The image before it is resized: where training's augmentation begins.

        Raises DeployBenchError for an image that does not read.
        """
        return self.images.picture(example.key, spec)

    def place(self, example: Example) -> str:
        """Where the image lies, as errors and tables say it."""
        return self.images.place(example.key)

    def targets(self) -> npt.NDArray[np.int8]:
        """images x classes: PRESENT, ABSENT or NOT_KNOWN; a row without a label is NOT_KNOWN."""
        table = np.full((len(self.examples), len(self.class_names)), NOT_KNOWN, dtype=np.int8)
        for row, example in zip(table, self.examples, strict=True):
            if example.labels is None:
                continue
            row[:] = ABSENT
            row[list(example.labels)] = PRESENT
            row[list(example.unknown)] = NOT_KNOWN
        return table

    def counts(self) -> tuple[int, ...]:
        """How many images have each class."""
        found: Counter[int] = Counter()
        for example in self.examples:
            found.update(example.labels or ())
        return tuple(found[index] for index in range(len(self.class_names)))

    def in_split(self, name: str) -> DataSet:
        """The images of one split. Raises DeployBenchError where there is none of that name."""
        if name not in self.splits:
            if not self.splits:
                raise DeployBenchError(
                    f"{self.root} has no splits, and '{name}' was asked for",
                    expected="folders train, val and test, or a column 'split'",
                    action="leave --split out",
                )
            raise unknown_name("split", name, self.splits)
        return self.with_examples(
            tuple(example for example in self.examples if example.split == name)
        )

    def with_examples(self, examples: Sequence[Example]) -> DataSet:
        """The same set with other examples of it: a part, or with other splits."""
        return replace(self, examples=tuple(examples))

    def with_notes(self, notes: Sequence[str]) -> DataSet:
        """The same set with other notes."""
        return replace(self, notes=tuple(notes))

    def with_classes(self, names: Sequence[str]) -> DataSet:
        """The same images with the classes of a model, in its order; matched by name.

        Names that differ in capitals and in what is no letter or digit are the same where that is
        clear (``Acute infarct``, ``acute_infarct``); a note says so. A class of the model that no
        image has is kept; of a multi-label set it is not known which images have it.

        Raises DeployBenchError where images have a class that the model does not have.
        """
        wanted = tuple(names)
        if wanted == self.class_names:
            return self
        check_class_names(wanted)
        places = [place_of(name, wanted) for name in self.class_names]
        counts = self.counts()
        foreign = [
            name
            for name, place, count in zip(self.class_names, places, counts, strict=True)
            if count and place is None
        ]
        if foreign:
            raise DeployBenchError(
                f"{self.root} has {counted(len(foreign), 'class', 'classes')} that the model does "
                f"not have: {', '.join(foreign[:NAMED])}",
                expected=f"among {', '.join(wanted[:NAMED])}",
                action="rename the classes, leave those images out, or name the classes of the "
                "data in the model's order with --class-names",
            )
        respelt = [
            f"{name} = {wanted[place]}"
            for name, place in zip(self.class_names, places, strict=True)
            if place is not None and name != wanted[place]
        ]
        notes = self.notes
        if respelt:
            notes += (f"classes matched in spite of their spelling: {', '.join(respelt[:NAMED])}",)
        missing: set[int] = set()
        if self.task == "multi-label":
            missing = set(range(len(wanted))) - set(places)

        def moved(indices: Iterable[int]) -> set[int]:
            there = (places[index] for index in indices)
            return {place for place in there if place is not None}

        def translated(example: Example) -> Example:
            if example.labels is None:
                return example
            labels = tuple(sorted(moved(example.labels)))
            unknown = tuple(sorted(moved(example.unknown) | missing))
            return replace(example, labels=labels, unknown=unknown)

        examples = tuple(translated(example) for example in self.examples)
        return replace(self, class_names=wanted, examples=examples, notes=notes)

    def sha256(
        self,
        progress: Callable[[int], object] | None = None,
        seen: Callable[[Example, str], object] | None = None,
    ) -> str:
        """What identifies the data: the content of every image with its key and what is known of
        it, and the names of the classes. Not where the set lies, nor when it was written.

        Every image is read once; ``progress`` is told how many were, ``seen`` the sha256 of each
        image by itself. An image that cannot be read counts as such (UNREADABLE), with its key. The
        same for the same examples in the same order.
        """
        digest = hashlib.sha256(repr((self.class_names, self.task)).encode())
        done = 0
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            # In parts: a pool that is handed everything at once keeps a future for each image.
            for start in range(0, len(self.examples), HASHED_AT_ONCE):
                part = self.examples[start : start + HASHED_AT_ONCE]
                for example, content in zip(part, pool.map(self._hash_of, part), strict=True):
                    known = (
                        example.key,
                        example.labels,
                        example.unknown,
                        example.group,
                        example.split,
                        content,
                    )
                    digest.update(repr(known).encode(errors="surrogateescape"))
                    if seen is not None:
                        seen(example, content)
                done += len(part)
                if progress is not None:
                    progress(done)
        return digest.hexdigest()

    def _hash_of(self, example: Example) -> str:
        try:
            return hashlib.sha256(self.images.content(example.key)).hexdigest()
        except DeployBenchError:
            return UNREADABLE


def place_of(name: str, names: Sequence[str]) -> int | None:
    """Where a class is among others: by its name, or by its letters and digits where one fits."""
    if name in names:
        return names.index(name)
    fitting = [index for index, other in enumerate(names) if _bare(other) == _bare(name)]
    return fitting[0] if len(fitting) == 1 else None


def _bare(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def check_class_names(names: Sequence[str]) -> None:
    """Raise DeployBenchError for names of classes that cannot be told apart."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DeployBenchError(
            f"the class '{twice[0]}' is named {Counter(names)[twice[0]]} times",
            expected="each class once, in the order of the model's outputs",
        )
    if any(not name.strip() for name in names):
        raise DeployBenchError("a class has an empty name", expected="a name for each class")
