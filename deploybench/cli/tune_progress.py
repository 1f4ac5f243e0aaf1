"""The progress of a tuning on standard error: its rounds, and all that its parts tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploybench.cli.progress import Progress
from deploybench.plurals import counted
from deploybench.runs.events import RunPlanned
from deploybench.tuning.events import RoundBegun, RoundEnded, TuneImagesRead, TuneRemarked

if TYPE_CHECKING:
    from deploybench.scenarios.events import ScenarioEvent
    from deploybench.tuning.events import TuneEvent


class TuneProgress(Progress):
    """A bar for what is being done, and a line that stays for each round."""

    def __enter__(self) -> TuneProgress:
        return self

    def tell(self, event: TuneEvent | ScenarioEvent) -> None:
        """Show one event."""
        if isinstance(event, TuneImagesRead):
            self._tell_of_reading(event.done, event.images)
        elif isinstance(event, TuneRemarked):
            self._remark(event.words)
        elif isinstance(event, RoundBegun):
            configurations = counted(event.count, "configuration")
            self._remark(f"round {event.number}: {configurations}, {event.seconds:.0f} s each")
        elif isinstance(event, RoundEnded):
            self._remark(f"round {event.number}: {event.best} leads")
        else:
            if isinstance(event, RunPlanned):
                self._done.clear()  # each round is a run of its own
            super().tell(event)
