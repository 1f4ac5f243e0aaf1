"""The progress of a study on standard error: its steps, and all that its parts tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploybench.cli.progress import Progress
from deploybench.evaluate.events import DataRead
from deploybench.plurals import counted
from deploybench.report.console import Showing
from deploybench.runs.study_events import (
    StageBegun,
    StageFailed,
    StudyImagesRead,
    StudyRemarked,
    TrainingKnown,
)
from deploybench.training.curve import EpochLine
from deploybench.training.events import (
    EpochEnded,
    Evaluating,
    ImagesRead,
    Remarked,
    StepMade,
    TrainingInterrupted,
    TrainingPlanned,
)

if TYPE_CHECKING:
    from deploybench.runs.study_events import StudyEvent
    from deploybench.scenarios.events import ScenarioEvent


class StudyProgress(Progress):
    """A bar for what is being done, and a line that stays for each model that begins a stage."""

    def __init__(self, *, showing: Showing = Showing.LIVE) -> None:
        super().__init__(showing=showing)
        self._model = ""
        self._place = ""
        self._epochs = 0
        self._last_epoch = ""

    def __enter__(self) -> StudyProgress:
        return self

    def tell(self, event: StudyEvent | ScenarioEvent) -> None:
        """Show one event."""
        if isinstance(event, StudyImagesRead | DataRead):
            self._tell_of_reading(event.done, event.images)
        elif isinstance(event, StudyRemarked | Remarked):
            self._remark(event.words)
        elif isinstance(event, StageBegun):
            self._model = event.model
            self._place = f"{event.number} of {event.count}"
            self._reading = False
            if event.stage == "training":
                self._remark(f"{event.model} ({self._place})")
        elif isinstance(event, TrainingKnown):
            self._remark(f"{event.model}: trained before, {counted(event.epochs, 'epoch')}")
        elif isinstance(event, StageFailed):
            failure = event.failure
            self._remark(f"{event.model}: {failure.stage}: {failure.reason}", "yellow")
        elif isinstance(
            event,
            ImagesRead | TrainingPlanned | StepMade | Evaluating | EpochEnded | TrainingInterrupted,
        ):
            self._tell_of_training(event)
        else:
            super().tell(event)

    def _tell_of_training(
        self,
        event: ImagesRead
        | TrainingPlanned
        | StepMade
        | Evaluating
        | EpochEnded
        | TrainingInterrupted,
    ) -> None:
        """A bar of steps; what is being done names the epoch, and what the last one reached."""
        if isinstance(event, ImagesRead):
            self._tell_of_reading(event.done, event.images)
        elif isinstance(event, TrainingPlanned):
            self._reading = False
            self._epochs = event.epochs
            self._last_epoch = ""
            self.begin(f"training {self._model}", event.steps)
            self.complete(event.done)
            if event.done:
                self.say(f"training {self._model}: it goes on")
        elif isinstance(event, StepMade):
            self.complete(event.step)
        elif isinstance(event, EpochEnded):
            line = event.line
            self.say(
                f"training {self._model}: {line.epoch} of {counted(self._epochs, 'epoch')} done"
                f"{_score(line)}"
            )
        elif isinstance(event, TrainingInterrupted):
            self._remark(f"training {self._model} stopped in epoch {event.epoch}: it can go on")


def _score(line: EpochLine) -> str:
    """What the epoch reached: the balanced accuracy, or the AUC of several labels an image."""
    best = ", the best so far" if line.best else ""
    if line.balanced_accuracy is not None:
        return f", balanced {100 * line.balanced_accuracy:.1f} %{best}"
    if line.area is not None:
        return f", AUC {line.area:.3f}{best}"
    return ""
