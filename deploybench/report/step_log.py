"""What a command is doing, for a log: one line a step, and never 30 s of silence.

Standard error without a terminal (a pipeline, ``nohup``, ``2> file``) gets these lines instead of
moving bars, also where colours are forced. This module imports nothing heavy.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from deploybench.children.inherited import SLEEPER
from deploybench.inert import inert

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

LONGEST_SILENCE_S = 25.0
"""30 s are promised; a loaded machine may be late."""


class StepLog:
    """Says on standard error which step is under way, with the time since the command began."""

    def __init__(
        self,
        longest_silence_s: float = LONGEST_SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._longest_silence_s = longest_silence_s
        self._clock = clock
        self._lock = threading.Lock()
        self._began = self._step_began = self._spoke = clock()
        self._step = ""

    def step(self, what: str) -> None:
        """Another step begins."""
        with self._lock:
            self._step = what
            self._step_began = self._clock()
            self._write(what)

    def begin(self, what: str) -> None:
        """Another step begins, and is told of when it lasts."""
        with self._lock:
            self._step = what
            self._step_began = self._clock()

    @contextlib.contextmanager
    def under_way(self, what: str) -> Iterator[None]:
        """While this lasts, silence is broken with what is under way.

        On a terminal nothing is said.
        """
        if _is_terminal():
            yield
            return
        self._began = self._step_began = self._spoke = self._clock()
        self._step = what
        over = threading.Event()
        watch = threading.Thread(
            target=self._break_silence, args=(over,), daemon=True, name=SLEEPER
        )
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()

    def _break_silence(self, over: threading.Event) -> None:
        """Sleep until the silence would be too long, speak, and sleep again."""
        left = self._longest_silence_s
        while not over.wait(left):
            with self._lock:
                left = self._spoke + self._longest_silence_s - self._clock()
                if left <= 0:
                    seconds = self._clock() - self._step_began
                    self._write(f"still at it after {_duration(seconds)}: {self._step}")
                    left = self._longest_silence_s

    def _write(self, text: str) -> None:
        self._spoke = self._clock()
        # A log that can no longer be written does not stop what it is about.
        with contextlib.suppress(OSError, ValueError):
            since = _duration(self._spoke - self._began)
            print(f"{since:>7}  {inert(text)}", file=sys.stderr, flush=True)


LOG = StepLog()
"""The log of this process: it has one standard error."""


class StepLines:
    """Stands for rich's ``Progress`` where there is no terminal: a line when a step begins.

    Steps may be told from several threads.
    """

    def __init__(self, log: StepLog = LOG) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._completed = 0
        self._total: int | None = None

    def __enter__(self) -> StepLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None and self._total:
            self._log.step(f"{self._completed} of {self._total} done")

    def add_task(self, description: str, total: int | None = None) -> TaskID:
        """What the steps belong to; a line is written when the first of them begins."""
        from rich.progress import TaskID

        self._log.begin(description)
        self._total = total
        return TaskID(0)

    def update(
        self, task: TaskID, *, description: str | None = None, completed: int | None = None
    ) -> None:
        """Another step begins (``description``), or more of them are ``completed``."""
        with self._lock:
            if completed is not None:
                self._completed = completed
            if description is not None:
                line = description
                if self._total:
                    line += f" ({self._completed} of {self._total} done)"
                self._log.step(line)

    def advance(self, task: TaskID, advance: int = 1) -> None:
        """One more step is completed."""
        with self._lock:
            self._completed += advance


class NoSteps(StepLines):
    """Stands for a bar where nothing of the progress is to be shown."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return

    def update(
        self, task: TaskID, *, description: str | None = None, completed: int | None = None
    ) -> None:
        """Nothing is said."""


def _is_terminal() -> bool:
    """Whether standard error is a terminal, whatever the environment says of colours."""
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # closed
        return False


def _duration(seconds: float) -> str:
    """72 as ``1:12``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
