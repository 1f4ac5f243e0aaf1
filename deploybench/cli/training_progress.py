"""A training's progress on standard error: a bar of its steps, and what stays of each epoch."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from deploybench.files import from_here
from deploybench.plurals import counted
from deploybench.report.console import progress_bar, remark
from deploybench.report.step_log import StepLines
from deploybench.report.training_table import line_words
from deploybench.training.events import (
    EpochEnded,
    Evaluating,
    ImagesRead,
    Remarked,
    StepMade,
    TrainingEvent,
    TrainingInterrupted,
    TrainingPlanned,
)

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class TrainingProgress:
    """A context manager that is told of every event. ``going_on`` is the command that would go on
    with this training."""

    def __init__(self, going_on: str) -> None:
        self._going_on = going_on
        self._stack = ExitStack()
        self._bar: Bar | StepLines | None = None
        self._task: TaskID | None = None
        self._what = ""
        self._epochs = 0
        self._steps = 0
        self._done = 0

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tell(self, event: TrainingEvent) -> None:
        """Show one event."""
        if isinstance(event, ImagesRead):
            self._show("reading the data", event.images, event.done)
        elif isinstance(event, TrainingPlanned):
            self._begin(event)
        elif isinstance(event, StepMade):
            self._done = event.step
            words = (
                f"epoch {event.epoch} of {self._epochs} · loss {event.loss:.3f} · "
                f"{event.images_per_second:.0f} images/s"
            )
            self._show("training", self._steps, event.step, words)
        elif isinstance(event, Evaluating):
            words = (
                f"epoch {event.epoch} of {self._epochs} · evaluated {event.done} of "
                f"{counted(event.images, 'image')}"
            )
            self._show("training", self._steps, self._done, words)
        elif isinstance(event, EpochEnded):
            self._remark(line_words(event.line, self._epochs))
        elif isinstance(event, Remarked):
            self._remark(event.words)
        elif isinstance(event, TrainingInterrupted):
            self._remark(
                f"stopped after step {event.step}; {from_here(event.folder)} holds what is needed "
                "to go on:"
            )
            self._remark(self._going_on)

    def _begin(self, event: TrainingPlanned) -> None:
        self._epochs, self._steps, self._done = event.epochs, event.steps, event.done
        for note in event.notes:
            self._remark(note)
        if event.done:
            self._remark(f"goes on after step {event.done} of {event.steps}")

    def _show(self, what: str, total: int, done: int, words: str | None = None) -> None:
        """So much of some work is done; another kind of work begins another bar."""
        if self._bar is None or what != self._what:
            self._stack.close()
            self._bar = progress_bar()
            self._stack.enter_context(self._bar)
            self._task = self._bar.add_task(what, total=total)
            self._what = what
        if self._task is None:
            return
        if isinstance(self._bar, StepLines):
            words = None  # a line for each step would be a long log: each epoch leaves its own
        if words is None:
            self._bar.update(self._task, completed=done)
        else:
            self._bar.update(self._task, completed=done, description=words)

    def _remark(self, words: str) -> None:
        """A line that stays."""
        self._stack.close()
        self._bar = self._task = None
        remark(words)
