"""Batches of images for training and for the evaluation beside it.

A batch is the same for the same seed, epoch and step, whatever the number of workers, and also
where an epoch is begun in its middle: each image's augmentation is drawn by its place in the epoch,
mixup by the step. Images are read through the product's one preprocessing.

The workers are processes: timm's augmentation draws from the global generators of a process, which
threads would share. They end with the loop, and with a parent that is killed; on Linux with the
thread that began the loop.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import NOT_KNOWN, PRESENT, DataSet, Example
from deploybench.data.survey import USUAL_SAMPLE, spread
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted, counted_of
from deploybench.processes import die_with_parent
from deploybench.training.augmentation import Augmentation, Augmenter, Mixing
from deploybench.training.balance import Balance, epoch_order
from deploybench.training.draws import generator_of

MADE_AHEAD = 2
"""Batches that each worker makes ahead of the loop: the DataLoader's own number."""
SHARED_MEMORY = Path("/dev/shm")
NAMED = 5


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
        return _made(_OfEpoch(self._steps, epoch), range(start, len(self)), self._workers)


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
        return _made(self._steps, range(len(self)), self._workers)


def check_labels(data: DataSet) -> None:
    """Raise DeployBenchError for a set that has no images, or images without a label."""
    if not len(data):
        raise DeployBenchError(f"{data.root} has no images to train with")
    without = [example for example in data if example.labels is None]
    if without:
        raise DeployBenchError(
            f"{counted_of(len(without), len(data), 'image')} found without a label, the first is "
            f"{data.place(without[0])}",
            expected="a label for each image that is trained or evaluated with",
            action="leave them out, or label them",
        )


def check_images(data: DataSet, spec: Preprocessing, sample: int | None = USUAL_SAMPLE) -> None:
    """Read ``sample`` images that are spread evenly (None: all) before they are needed.

    Raises DeployBenchError that names those that do not read.
    """
    failed: list[DeployBenchError] = []
    looked_at = spread(data.examples, sample)
    for example in looked_at:
        try:
            data.input(example, spec)
        except DeployBenchError as error:
            failed.append(error)
    if not failed:
        return
    if len(failed) == 1:
        raise _untrainable(failed[0])
    listed = "; ".join(error.found for error in failed[:NAMED])
    more = len(failed) - NAMED
    if more > 0:
        listed += f"; and {more} more"
    raise DeployBenchError(
        f"{len(failed)} of {counted(len(looked_at), 'image')} looked at do not read: {listed}",
        expected=failed[0].expected,
        action=_action_after(failed[0]),
    )


def _untrainable(error: DeployBenchError) -> DeployBenchError:
    """The error of an image, with what to do about it: none is left out in silence."""
    return DeployBenchError(error.found, expected=error.expected, action=_action_after(error))


def _action_after(error: DeployBenchError) -> str:
    advice = "mend the image or take it out of the data (`deploybench data show` lists all)"
    if error.action:
        return f"{error.action}; or {advice}"
    return advice


class _Steps(Protocol):
    """Something that makes the batch of a step."""

    def made(self, step: int) -> Batch: ...

    @property
    def batch_bytes(self) -> int: ...


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
        self._targets = _Targets(data)
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
        self._targets = _Targets(data)
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


class _Targets:
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


def _shape(spec: Preprocessing) -> tuple[int, int, int]:
    return spec.channels, spec.height, spec.width


def _image_bytes(spec: Preprocessing) -> int:
    return int(np.prod(_shape(spec))) * np.dtype(np.float32).itemsize


@dataclass(frozen=True)
class _Piped:
    """A batch whose pixels come as bytes: those of a tensor would lie in shared memory."""

    pixels: npt.NDArray[np.float32]
    rest: Batch


@dataclass(frozen=True)
class _ToMake(Dataset[object]):
    """Steps as a worker makes them: the batch, or the error to be raised where it is waited for.

    (An exception in a worker would arrive as a text with the worker's traceback.)
    """

    steps: _Steps
    through_pipe: bool

    def __getitem__(self, step: int) -> object:
        try:
            batch = self.steps.made(step)
        except DeployBenchError as error:
            return _untrainable(error)
        if self.through_pipe:
            return _Piped(batch.pixels.numpy(), replace(batch, pixels=torch.empty(0)))
        return batch


def _made(steps: _Steps, numbers: range, workers: int) -> Iterator[Batch]:
    """The batches of those steps in order, made by so many processes (0: here)."""
    workers = min(workers, len(numbers))
    waiting = workers * MADE_AHEAD * steps.batch_bytes
    loader = DataLoader(
        _ToMake(steps, through_pipe=waiting > _free_shared_memory()),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_worker,
        # Its own: the loader draws a number from it, and what the model draws is not to depend on
        # how often images were begun with.
        generator=torch.Generator(),
    )
    with deaths_told():
        for made in loader:
            if isinstance(made, DeployBenchError):
                raise made
            if isinstance(made, _Piped):
                made = replace(made.rest, pixels=torch.from_numpy(made.pixels))
            yield made


@contextmanager
def deaths_told() -> Iterator[None]:
    """Tells of a worker that was killed, wherever torch's handler of its end breaks in.

    That may be in the middle of a step: a loop over batches has this around all of it. Raises
    DeployBenchError in place of torch's RuntimeError.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DeployBenchError(
            f"a process that reads images has died: {str(error).splitlines()[0]}",
            action="it may have run out of memory: fewer --workers, or a smaller --batch",
        ) from None


def _begin_worker(number: int) -> None:
    """At once, where the parent is killed: torch's own watch takes up to half a minute."""
    die_with_parent()


def _as_it_is(made: object) -> object:
    return made


def _free_shared_memory() -> int:
    """Bytes that processes can share; containers often have only 64 MiB."""
    try:
        return shutil.disk_usage(SHARED_MEMORY).free // 2
    except OSError:
        return 0
