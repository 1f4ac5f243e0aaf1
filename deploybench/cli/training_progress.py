"""A training's progress on standard error: a bar of its steps, and what stays of each epoch."""

from __future__ import annotations

from deploybench.cli.steps import StepBar
from deploybench.files import from_here
from deploybench.plurals import counted
from deploybench.report.console import remark
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


class TrainingProgress(StepBar):
    """A context manager that is told of every event. ``going_on`` is the command that would go on
    with this training."""

    def __init__(self, going_on: str) -> None:
        super().__init__()
        self._going_on = going_on
        self._what = ""
        self._epochs = 0
        self._steps = 0
        self._done = 0

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
        if not self.open or what != self._what:
            self.begin(what, total)
            self.complete(done)
            self._what = what
            if self.in_a_log:
                self.say(what)
        self.complete(done)
        # A line for each step would be a long log: each epoch leaves its own.
        if words is not None and not self.in_a_log:
            self.say(words)

    def _remark(self, words: str) -> None:
        """A line that stays."""
        self.end()
        remark(words)
