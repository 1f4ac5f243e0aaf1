"""Processes that make batches ahead of the loop that takes them.

They are torch's DataLoader's. They end with the loop, and with a parent that is killed: on Linux
with the thread that began the loop.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from deploybench.children.inherited import interrupts_held
from deploybench.children.processes import die_with_parent
from deploybench.errors import DeployBenchError
from deploybench.training.batches import Batch
from deploybench.training.checks import untrainable

MADE_AHEAD = 2
"""Batches that each worker makes ahead of the loop: the DataLoader's own number."""
SHARED_MEMORY = Path("/dev/shm")


class Steps(Protocol):
    """Something that makes the batch of a step."""

    def made(self, step: int) -> Batch: ...

    @property
    def batch_bytes(self) -> int: ...


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

    steps: Steps
    through_pipe: bool

    def __getitem__(self, step: int) -> object:
        try:
            batch = self.steps.made(step)
        except DeployBenchError as error:
            return untrainable(error)
        if self.through_pipe:
            return _Piped(batch.pixels.numpy(), replace(batch, pixels=torch.empty(0)))
        return batch


def made_in_order(steps: Steps, numbers: range, workers: int) -> Iterator[Batch]:
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
    try:
        for made in _begun(loader):
            if isinstance(made, DeployBenchError):
                raise made
            if isinstance(made, _Piped):
                made = replace(made.rest, pixels=torch.from_numpy(made.pixels))
            yield made
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DeployBenchError(
            f"a process that reads images has died: {str(error).splitlines()[0]}",
            action="it may have run out of memory: fewer --workers, or a smaller --batch",
        ) from None


def _begun(loader: DataLoader[object]) -> Iterator[Any]:
    """The loader's batches, its workers started.

    torch has a handler of SIGCHLD that raises an error where a worker has died: in the middle of
    whatever the main thread does then. It is taken back: a wait for the next batch finds out too,
    within five seconds.
    """
    before = None
    if hasattr(signal, "SIGCHLD"):
        before = signal.getsignal(signal.SIGCHLD)
    # A Ctrl-C that comes before a worker has said that it does not heed one waits until it has.
    with interrupts_held():
        made = iter(loader)
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)
    return made


def _begin_worker(number: int) -> None:
    """A worker ends at once where its parent is killed: torch's own watch takes up to half a
    minute. It does not at Ctrl-C, which a terminal sends to all: its parent decides what is still
    to be done."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _as_it_is(made: object) -> object:
    return made


def _free_shared_memory() -> int:
    """Bytes that processes can share; containers often have only 64 MiB."""
    try:
        return shutil.disk_usage(SHARED_MEMORY).free // 2
    except OSError:
        return 0
