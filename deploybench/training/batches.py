"""What one step of a training takes: pixels, and the labels as a loss takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deploybench.data.dataset import NOT_KNOWN, PRESENT, DataSet


@dataclass(frozen=True)
class Batch:
    """What one step takes.

    ``pixels`` is float32, images x channels x height x width. ``targets`` are the classes (int64,
    one an image), or, for a multi-label set and after mixup, float32 of images x classes. ``known``
    (bool, images x classes) says which of them are known; None: all. ``indices`` are those of the
    images in their set.
    """

    pixels: torch.Tensor
    targets: torch.Tensor
    known: torch.Tensor | None
    indices: tuple[int, ...]
    notes: tuple[str, ...] = ()
    """What was decided about an image that its file leaves open, each once."""


class Targets:
    """The labels of a set, as a loss takes them."""

    def __init__(self, data: DataSet) -> None:
        self._classes = len(data.class_names)
        self._several = data.task == "multi-label"
        if self._several:
            self._table = data.targets()
        else:
            self._labels = np.array(
                [example.labels[0] for example in data if example.labels], dtype=np.int64
            )

    def of(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The targets of those images; of a multi-label set also which are known. What is not known
        is 0 there: a loss leaves it out."""
        chosen = list(indices)
        if not self._several:
            return torch.from_numpy(self._labels[chosen]), None
        rows = self._table[chosen]
        known = torch.from_numpy(rows != NOT_KNOWN)
        return torch.from_numpy((rows == PRESENT).astype(np.float32)), known

    def as_table(self, targets: torch.Tensor) -> torch.Tensor:
        """Targets as images x classes."""
        if self._several:
            return targets
        return torch.nn.functional.one_hot(targets, self._classes).to(torch.float32)
