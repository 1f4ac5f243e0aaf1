"""What the main output says of one image: classes with probabilities, shares of pixels, numbers."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.task import Task
from deploybench.data.postprocess import answers, classes_of_pixels

Array = npt.NDArray[np.float32]


class _Class(TypedDict):
    index: int
    name: str
    probability: float | None


class Guess(_Class, total=False):
    """One class of an image, or one number of it.

    ``probability`` is None where the output has none. ``share`` is that of the image's pixels, of a
    dense output; ``value`` is the number itself where it is no score.
    """

    share: float
    value: float


def guesses(output: Array, task: Task, labels: list[str] | None, top: int) -> list[Guess]:
    """The ``top`` guesses of one image; ``output`` is (1, …)."""
    if task.kind == "dense":
        return _shares(output, task, labels, top)
    if task.scores == "classes" and task.kind == "multi_class":
        index = int(output.reshape(-1)[0])
        return [Guess(index=index, name=_name(index, labels), probability=None)]
    numbers = answers(output, task).reshape(-1)
    if task.scores == "values":
        return [
            Guess(index=index, name=_name(index, labels, "output"), probability=None, value=value)
            for index, value in enumerate(numbers[:top].tolist())
        ]
    if len(numbers) == 1:  # yes or no, by one probability
        numbers = np.array([1 - numbers[0], numbers[0]])
    order = np.argsort(-numbers, kind="stable")[:top]
    return [
        Guess(index=int(index), name=_name(index, labels), probability=float(numbers[index]))
        for index in order
    ]


def _shares(output: Array, task: Task, labels: list[str] | None, top: int) -> list[Guess]:
    """The classes of most pixels with their shares; of values a pixel, their mean."""
    if task.scores == "values":
        mean = float(output.mean())
        return [Guess(index=0, name="mean over the pixels", probability=None, value=mean)]
    classes, counts = np.unique(classes_of_pixels(output, task), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:top]
    shares = counts / counts.sum()
    return [
        Guess(
            index=int(classes[index]),
            name=_name(int(classes[index]), labels),
            probability=None,
            share=float(shares[index]),
        )
        for index in order
    ]


def _name(index: int, labels: list[str] | None, word: str = "class") -> str:
    if labels and 0 <= index < len(labels):
        return labels[index]
    return f"{word} {index}"
