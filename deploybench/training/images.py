"""Batches of images for training and for the evaluation beside it.

A batch is the same for the same seed, epoch and step, whatever the number of workers, and also
where an epoch is begun in its middle: each image's augmentation is drawn by its place in the epoch,
mixup by the step. Images are read through the product's one preprocessing.

The workers are processes: timm's augmentation draws from the global generators of a process, which
threads would share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet, Example
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.training.augmentation import Augmentation, Augmenter, Mixing
from deploybench.training.balance import Balance, epoch_order
from deploybench.training.batches import Batch, Targets
from deploybench.training.checks import check_images, check_labels
from deploybench.training.draws import generator_of
from deploybench.training.workers import made_in_order

__all__ = [
    "Batch",
    "EvaluationImages",
    "TrainingImages",
    "check_images",
    "check_labels",
]


class TrainingImages:
    """The batches of a split, in another order in each epoch.

    ``batch`` is that of all devices together. Of several (``world``), the one of number ``rank``
    gets every ``world``-th image of each batch: which images make a batch does not depend on how
    many devices share it. What is left over at the end of an epoch, less than a batch, waits for
    another epoch: the order changes. A set smaller than a batch makes one batch.

    Raises DeployBenchError for images without a label, for too few images, and for words of an
    augmentation that are not known.
    """

    def __init__(
        self,
        data: DataSet,
        spec: Preprocessing,
        augmentation: Augmentation,
        *,
        batch: int,
        seed: int,
        balance: Balance,
        workers: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_labels(data)
        self._workers = workers
        self._steps = _TrainingSteps(
            data, spec, augmentation, batch, seed, balance, rank=rank, world=world
        )

    def __len__(self) -> int:
        """Steps an epoch."""
        return self._steps.count

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch (the first is 0), from the step ``start`` on.

        Raises DeployBenchError for an image that does not read.
        """
        return made_in_order(_OfEpoch(self._steps, epoch), range(start, len(self)), self._workers)


class EvaluationImages:
    """The batches of a split in its order, exactly as ``DataSet.input`` reads them; the last one
    may be smaller. A part for each of several devices, as in :class:`TrainingImages`."""

    def __init__(
        self,
        data: DataSet,
        spec: Preprocessing,
        *,
        batch: int,
        workers: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_labels(data)
        self._workers = workers
        self._steps = _EvaluationSteps(data, spec, batch, range(rank, len(data), world))

    def __len__(self) -> int:
        """The number of batches."""
        return self._steps.count

    def batches(self) -> Iterator[Batch]:
        """The batches, each image once. Raises DeployBenchError for an image that does not read."""
        return made_in_order(self._steps, range(len(self)), self._workers)


class _TrainingSteps:
    """Which images make a batch, and the batch made of them."""

    def __init__(
        self,
        data: DataSet,
        spec: Preprocessing,
        augmentation: Augmentation,
        batch: int,
        seed: int,
        balance: Balance,
        *,
        rank: int,
        world: int,
    ) -> None:
        self._data = data
        self._spec = spec
        self._seed = seed
        self._balance: Balance = balance
        self._rank = rank
        self._world = world
        self._targets = Targets(data)
        self._augmenter: Augmenter | None = None
        if augmentation.changes_images:
            self._augmenter = Augmenter(augmentation, spec)
        self._mixing: Mixing | None = None
        # Every device gets as many; for mixup an even number.
        multiple = world
        if augmentation.mixes:
            self._mixing = Mixing(augmentation)
            multiple = 2 * world
        size = min(batch, len(data))
        self.images = size - size % multiple
        if not self.images:
            raise DeployBenchError(
                f"batches of {counted(size, 'image')}",
                expected=f"at least {multiple}: {counted(world, 'device')}"
                + (", and pairs of images for mixup" if self._mixing else ""),
                action="a larger --batch" if size == batch else "more images",
            )
        self.count = len(data) // self.images

    @property
    def batch_bytes(self) -> int:
        return self.images // self._world * _image_bytes(self._spec)

    def order(self, epoch: int) -> Sequence[int]:
        """The indices of the epoch's images as they come."""
        generator = generator_of(self._seed, epoch, "order")
        return [int(index) for index in epoch_order(self._data, self._balance, generator)]

    def made(self, epoch: int, order: Sequence[int], step: int) -> Batch:
        """The batch of a step, this device's part of it."""
        first = step * self.images
        places = range(first + self._rank, first + self.images, self._world)
        indices = tuple(order[place] for place in places)
        notes: dict[str, None] = {}
        pixels = torch.empty((len(indices), *_shape(self._spec)), dtype=torch.float32)
        for row, (place, index) in enumerate(zip(places, indices, strict=True)):
            pixels[row], told = self._image(epoch, place, self._data.examples[index])
            notes.update(dict.fromkeys(told))
        targets, known = self._targets.of(indices)
        if self._mixing is not None:
            pixels, targets, known = self._mixing.mixed(
                pixels,
                self._targets.as_table(targets),
                known,
                (self._seed, epoch, step, self._rank, "mix"),
            )
        return Batch(pixels, targets, known, indices, tuple(notes))

    def _image(
        self, epoch: int, place: int, example: Example
    ) -> tuple[torch.Tensor, tuple[str, ...]]:
        """The image at a place of an epoch, and the notes on it."""
        if self._augmenter is None:
            read = self._data.input(example, self._spec)
            return torch.from_numpy(read.pixels), read.notes
        picture = self._data.picture(example, self._spec)
        return self._augmenter.input(
            picture, self._data.place(example), (self._seed, epoch, place, "image")
        )


class _OfEpoch:
    """The steps of one epoch: its order is drawn once."""

    def __init__(self, steps: _TrainingSteps, epoch: int) -> None:
        self._steps = steps
        self._epoch = epoch
        self._order = steps.order(epoch)

    @property
    def batch_bytes(self) -> int:
        return self._steps.batch_bytes

    def made(self, step: int) -> Batch:
        return self._steps.made(self._epoch, self._order, step)


class _EvaluationSteps:
    """Batches in the set's order, of the images of one device."""

    def __init__(self, data: DataSet, spec: Preprocessing, batch: int, mine: range) -> None:
        self._data = data
        self._spec = spec
        self._batch = batch
        self._mine = mine
        self._targets = Targets(data)
        self.count = -(-len(mine) // batch)

    @property
    def batch_bytes(self) -> int:
        return min(self._batch, len(self._mine)) * _image_bytes(self._spec)

    def made(self, step: int) -> Batch:
        indices = tuple(self._mine[step * self._batch : (step + 1) * self._batch])
        notes: dict[str, None] = {}
        pixels = torch.empty((len(indices), *_shape(self._spec)), dtype=torch.float32)
        for row, index in enumerate(indices):
            read = self._data.input(self._data.examples[index], self._spec)
            pixels[row] = torch.from_numpy(read.pixels)
            notes.update(dict.fromkeys(read.notes))
        targets, known = self._targets.of(indices)
        return Batch(pixels, targets, known, indices, tuple(notes))


def _shape(spec: Preprocessing) -> tuple[int, int, int]:
    return spec.channels, spec.height, spec.width


def _image_bytes(spec: Preprocessing) -> int:
    return int(np.prod(_shape(spec))) * np.dtype(np.float32).itemsize
