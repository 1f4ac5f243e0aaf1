"""The progress of exports, runs, evaluations and scenarios on standard error: one reader of their
events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploybench.cli.steps import StepBar
from deploybench.evaluate.events import (
    CellEvaluated,
    CellStarted,
    DataRead,
    EvaluationPlanned,
    ImagesSeen,
)
from deploybench.export.order import ExportFinished, ExportsPlanned, ExportStarted
from deploybench.plurals import counted
from deploybench.report.console import Showing, remark, terminal_console
from deploybench.runs.events import (
    LaunchedAfresh,
    LaunchStarted,
    PeaksMeasured,
    RecordUpdated,
    RunPlanned,
    SpeedRemarked,
    SweepStarted,
    VisitLost,
    VisitsMade,
)
from deploybench.scenarios.events import ScenarioFinished, ScenariosPlanned, TestStarted
from deploybench.telemetry.alone import WaitingForOther

if TYPE_CHECKING:
    from types import TracebackType

    from deploybench.cli.live import LiveView
    from deploybench.evaluate.events import EvaluationEvent
    from deploybench.export.order import ExportEvent
    from deploybench.hardware.roof import MeasuredPeaks
    from deploybench.results.record import Record
    from deploybench.runs.events import RunEvent
    from deploybench.scenarios.events import ScenarioEvent


SHOWN_LIVE = (LaunchStarted, VisitsMade, RecordUpdated)
"""Events that are no line of their own where a live view is open."""


class Progress(StepBar):
    """A bar that is told of every event; a context manager, which takes the bar away at the end.

    A bar is there between the plan of some work and the next remark, so that the two never write
    over each other. ``missing_first`` says that exports are what a run lacked.
    """

    def __init__(self, *, missing_first: bool = False, showing: Showing = Showing.LIVE) -> None:
        super().__init__(showing)
        self._missing_first = missing_first
        self._done: set[tuple[str | int | None, ...]] = set()
        self._sweeping = False
        self._images = self._cells_done = 0
        self._reading = False
        self._live: LiveView | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        super().__exit__(kind, error, trace)

    def begin(self, words: str, total: int, *, still: bool = False) -> None:
        """Begin some work of so many steps, in place of what was shown before."""
        self._end_live()
        self._reading = False
        super().begin(words, total, still=still)

    def end(self) -> None:
        """Take away what moves, so that something else can be written."""
        self._end_live()
        super().end()

    def tell(self, event: RunEvent | ScenarioEvent | EvaluationEvent | ExportEvent) -> None:
        """Show one event."""
        if self._live is not None and isinstance(event, SHOWN_LIVE):
            self._live.tell(event)
        elif isinstance(event, DataRead | EvaluationPlanned | CellStarted | ImagesSeen):
            self._tell_of_images(event)
        elif isinstance(event, CellEvaluated):
            if event.record.launches:  # else no process was asked
                self._advance_cell()
        elif isinstance(event, ExportsPlanned):
            count = len(event.requests)
            if self._missing_first:
                self._remark(f"exporting {counted(count, 'missing artifact')} first")
            self.begin("exporting", count)
        elif isinstance(event, ExportStarted):
            request = event.request
            self.say(f"exporting {request.model.name} to {request.backend}")
        elif isinstance(event, ExportFinished):
            self.advance()
        elif isinstance(event, WaitingForOther):
            self._remark(event.words)
        elif isinstance(event, PeaksMeasured):
            self._remark_on(event.peaks)
        elif isinstance(event, SweepStarted):
            if not self._sweeping:
                self._remark("looking how far each batch sweep goes: one short launch a size")
            self._sweeping = True
        elif isinstance(event, RunPlanned):
            for runner in event.idle_runners:
                self._remark(
                    f"no artifact here is in a format that {runner} runs: it takes no part; "
                    "deploybench run --model NAME exports what is missing"
                )
            to_launch = [cell for cell in event.cells if cell.skip is None]
            concerned = any(event.pinning.concerns(cell.cell.device) for cell in to_launch)
            if event.pinning.tells and concerned:
                self._remark(f"threads: {event.pinning.words}")
            self._begin_measuring(event, len(to_launch))
        elif isinstance(event, LaunchStarted):
            self.say(f"round {event.round + 1}: {event.planned.cell.title()}")
        elif isinstance(event, VisitsMade):
            self.say(
                f"round {event.rounds}: {event.known} of {event.cells} rows known, "
                f"at most {_minutes(event.left_s)} for the others"
            )
        elif isinstance(event, SpeedRemarked):
            self._remark(event.words)
        elif isinstance(event, VisitLost):
            self._remark(f"a visit was left out, {event.reason}: {event.planned.cell.title()}")
        elif isinstance(event, LaunchedAfresh):
            if self._live is not None:
                self._live.tell(event)
            title = event.planned.cell.title()
            self._remark(f"launched for every look, {event.reason}: {title}", "yellow")
        elif isinstance(event, RecordUpdated):
            self._note(event.record)
        elif isinstance(event, ScenariosPlanned):
            if event.pinning.tells:
                self._remark(f"threads: {event.pinning.words}")
            self.begin("measuring", event.count, still=True)
        elif isinstance(event, TestStarted):
            title = f"{event.scenario.value}: {event.cell.title()}"
            self.say(f"{title} {event.what}".rstrip())
        elif isinstance(event, ScenarioFinished):
            self.advance()

    def _tell_of_images(
        self, event: DataRead | EvaluationPlanned | CellStarted | ImagesSeen
    ) -> None:
        """An evaluation: one bar for the reading of the data, and one of images for all cells."""
        if isinstance(event, DataRead):
            self._tell_of_reading(event.done, event.images)
        elif isinstance(event, EvaluationPlanned):
            if event.pinning.tells:
                self._remark(f"threads: {event.pinning.words}")
            cells = [cell for cell in event.cells if cell.skip is None]
            self._images = event.images
            self._cells_done = 0
            self.begin("evaluating", len(cells) * event.images)
        elif isinstance(event, CellStarted):
            title = event.planned.cell.title()
            if 0 < event.done < event.images:
                title += f" (goes on after {counted(event.done, 'image')})"
            self.say(f"evaluating {title}")
            self.complete(self._cells_done * event.images + event.done)
        else:
            self.complete(self._cells_done * self._images + event.done)

    def _tell_of_reading(self, done: int, images: int) -> None:
        # The bar that is open may be that of exports: of missing ones, or of a tuning's.
        if not self.open or not self._reading:
            self.begin("reading the data", images)
            self._reading = True
        self.complete(done)

    def _advance_cell(self) -> None:
        """All images of a cell are done with, one way or another."""
        self._cells_done += 1
        self.complete(self._cells_done * self._images)

    def _note(self, record: Record) -> None:
        """A cell is done when it needs no more launches; a skipped one was never to be done."""
        if record.complete and record.launches:
            self._done.add(record.cell.key)
        self.complete(len(self._done))

    def _remark_on(self, peaks: MeasuredPeaks | None) -> None:
        if peaks is None:
            self._remark("the peaks of this host could not be measured: no % of peak", "yellow")
        elif peaks.disturbed:
            words = f"the peaks of this host are too low: {peaks.disturbed} meanwhile"
            self._remark(words, "yellow")

    def _remark(self, words: str, style: str = "") -> None:
        """A line that stays: above the live view, in place of a bar."""
        if self.showing is Showing.NOTHING and not style:
            return
        if self._live is not None:
            self._live.remark(words, style)
            return
        self.end()
        remark(words, style)

    def _begin_measuring(self, event: RunPlanned, cells: int) -> None:
        """The live view on a terminal, lines elsewhere."""
        console = terminal_console() if self.showing is Showing.LIVE else None
        if console is None or cells == 0:
            self.begin("measuring", cells)
            return
        from deploybench.cli.live import LiveView

        self.end()
        self._live = LiveView(console)
        self._live.begin(event)

    def _end_live(self) -> None:
        if self._live is not None:
            self._live.end()
            self._live = None


def _minutes(seconds: float) -> str:
    """A time that is left, as coarse as it is known."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    return f"{seconds / 60:.0f} min"
