"""Numbers as labels: which classes they mean, and where they cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import Example
from deploybench.data.sources import row_key
from deploybench.errors import DeployBenchError

MOST_CLASSES = 100_000


def class_names_of_numbers(
    labels: Mapping[str, npt.NDArray[np.int64]],
    files: Mapping[str, Path],
    names: tuple[str, ...] | None,
) -> tuple[str, ...]:
    """The names of classes that are numbered from 0: those that are given, or the numbers.

    ``labels`` are those of each part. Raises DeployBenchError for a number that is no class, with
    the file and the image.
    """
    highest = max(int(numbers.max(initial=-1)) for numbers in labels.values())
    count = highest + 1
    if names is not None:
        count = len(names)
    if count > MOST_CLASSES:
        raise DeployBenchError(
            f"a label is {highest}", expected=f"a class from 0 to {MOST_CLASSES - 1}"
        )
    for part, numbers in labels.items():
        wrong = np.flatnonzero((numbers < 0) | (numbers >= count))
        if len(wrong):
            raise DeployBenchError(
                f"{files[part]}: the label of image {wrong[0]} is {numbers[wrong[0]]}",
                expected=f"a class from 0 to {count - 1}",
                action="name all classes, or correct the labels",
            )
    if names is not None:
        return names
    if count == 1:
        first = next(iter(files.values()))
        raise DeployBenchError(
            f"{first}: every label is 0: one class only",
            expected="two classes or more",
            action="name the classes that have no image here with --class-names",
        )
    return tuple(str(number) for number in range(count))


def numbered_examples(
    part: str, labels: npt.NDArray[np.int64], *, split: str | None
) -> list[Example]:
    """An example for each label, in the order of the file."""
    return [
        Example(row_key(part, index), labels=(number,), split=split)
        for index, number in enumerate(labels.tolist())
    ]
