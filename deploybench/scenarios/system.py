"""The system under test: loaded sessions that answer LoadGen's samples, in place or from a queue.

The streams have one query at a time: it is answered in LoadGen's own thread. In server and offline,
batches wait in one queue, and each session has a thread that takes the next. Runtimes release the
interpreter's lock while they compute; what they do under it, the rates show.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deploybench.contracts import Arrays, Session
from deploybench.scenarios.loadgen import answer

T = TypeVar("T")
Samples = Sequence[Any]
"""LoadGen's samples: ``id`` and ``index`` of each."""


class Images:
    """The images that queries ask for, as inputs of one call.

    ``pixels`` is what the input takes: (images, channels, height, width), or channels last.
    """

    def __init__(self, name: str, pixels: npt.NDArray[np.float32], batch: int) -> None:
        self._name = name
        self._pixels = pixels
        self._batch = batch
        self._single = [{name: np.ascontiguousarray(image[None])} for image in pixels]

    def __len__(self) -> int:
        return len(self._pixels)

    def inputs(self, indices: Sequence[int]) -> Arrays:
        """The images as one batch; one that is not full is padded with its last image."""
        if self._batch == 1:
            return self._single[indices[0]]  # ready: nothing is copied
        missing = self._batch - len(indices)
        padded = [*indices, *[indices[-1]] * missing]
        return {self._name: self._pixels[padded]}

    def batches(self, samples: Sequence[T]) -> Iterable[Sequence[T]]:
        """Samples or indices in groups of at most the batch size."""
        for first in range(0, len(samples), self._batch):
            yield samples[first : first + self._batch]


class System:
    """Answers samples.

    What a runtime raises is kept in ``error``; queries after it are answered without work, because
    LoadGen's threads must not see an exception and wait for every answer.
    """

    def __init__(self, sessions: Sequence[Session], images: Images, *, queued: bool) -> None:
        self._images = images
        self._sessions = sessions
        self._queue: SimpleQueue[Samples | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        if queued:
            self._threads = [
                threading.Thread(target=self._work, args=(session,)) for session in sessions
            ]
        self.error: Exception | None = None

    def __enter__(self) -> System:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for _thread in self._threads:
            self._queue.put(None)  # each takes one, after what waits before it, and ends
        for thread in self._threads:
            thread.join()

    def issue(self, samples: Samples) -> None:
        """LoadGen's callback: queue the batches, or answer the query before returning."""
        if self._threads:
            for batch in self._images.batches(samples):
                self._queue.put(batch)
            return
        for batch in self._images.batches(samples):
            self._infer(self._sessions[0], batch)
        answer([sample.id for sample in samples])

    def _work(self, session: Session) -> None:
        session.prepare_thread()
        while True:
            batch = self._queue.get()
            if batch is None:
                return
            self._infer(session, batch)
            answer([sample.id for sample in batch])

    def _infer(self, session: Session, batch: Samples) -> None:
        if self.error is not None:
            return
        try:
            session.infer(self._images.inputs([sample.index for sample in batch]))
        except Exception as error:  # a runtime may raise anything
            self.error = error
