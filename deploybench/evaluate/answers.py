"""Probabilities of the images of a journal, made from the model's outputs as they are asked for.

The outputs may be larger than memory; they are read in parts, by rows or by columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.task import Task
from deploybench.data.postprocess import sigmoid

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
ROWS_AT_ONCE = 4096


class Probabilities:
    """Looks like an array (images, classes) of float64: ``p[rows]`` and ``p[:, columns]`` compute
    the part that was asked for.

    One output of a yes-or-no task is two classes; the number of a class is certainty of it.
    """

    def __init__(self, outputs: Array, task: Task, classes: int) -> None:
        self._outputs = outputs
        self._task = task
        self.shape = (len(outputs), classes)
        self._softmax = task.scores == "logits" and task.kind != "multi_label"
        self._softmax &= outputs.shape[1] > 1
        self._largest = self._total = np.empty(0)
        if self._softmax:
            self._largest, self._total = self._normalisers()

    @property
    def sure(self) -> bool:
        """Whether there are probabilities, not only a class."""
        return self._task.scores != "classes"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: Any) -> Floats:
        rows, columns = part if isinstance(part, tuple) else (part, slice(None))
        numbers = self._outputs[rows]
        if self._task.scores == "classes":
            named = np.rint(numbers[:, 0]).astype(np.int64)[:, None]
            one_hot: Floats = (named == np.arange(self.shape[1])[columns]).astype(np.float64)
            return one_hot
        if self._outputs.shape[1] == 1:
            yes = self._of_each(numbers)
            return np.hstack([1 - yes, yes])[:, columns]
        numbers = numbers[:, columns]
        if self._softmax:
            shifted = numbers.astype(np.float64) - self._largest[rows][:, None]
            probabilities: Floats = np.exp(shifted) / self._total[rows][:, None]
            return probabilities
        return self._of_each(numbers)

    def _of_each(self, numbers: Array) -> Floats:
        if self._task.scores == "logits":
            return sigmoid(numbers)
        return numbers.astype(np.float64)

    def _normalisers(self) -> tuple[Floats, Floats]:
        """Of each row its largest output and the sum that its exponents are divided by."""
        largest = np.empty(len(self._outputs))
        total = np.empty(len(self._outputs))
        for first in range(0, len(self._outputs), ROWS_AT_ONCE):
            rows = slice(first, first + ROWS_AT_ONCE)
            numbers = self._outputs[rows].astype(np.float64)
            largest[rows] = numbers.max(axis=1)
            total[rows] = np.exp(numbers - largest[rows][:, None]).sum(axis=1)
        return largest, total
