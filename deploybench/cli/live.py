"""The live view of a run on a terminal: told of every event, drawn between two looks and never
during one.

No thread draws. A run tells its events while nothing is measured (its processes rest), so a frame
is drawn within :meth:`LiveView.tell` and takes time from nobody; while a process is visited the
picture stands still. The time that is left moves when something is told, and not by itself.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from deploybench.inert import inert
from deploybench.plan.cells import Planned
from deploybench.report.live_view import LiveFrame, LiveRow, RowState, frame_lines
from deploybench.results.cell import Cell
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.runs.events import (
    CellLook,
    LaunchedAfresh,
    LaunchStarted,
    RecordUpdated,
    RunEvent,
    RunPlanned,
    VisitsMade,
)
from deploybench.statistics.samples import half_width

Key = tuple[str | int | None, ...]
LEAST_BETWEEN_S = 0.1
"""Between two frames for records, which come in bursts: more than that nobody sees."""
MOST_REMARKS = 12
"""Of the newest remarks, which are printed again after the terminal changed its size."""
NEVER_MEASURED = (Verdict.FAILED, Verdict.INVALID)


class LiveView:
    """One frame that is drawn over the last one. ``console`` is a terminal."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._size = (0, 0)
        self._rows: dict[Key, LiveRow] = {}
        self._frame = LiveFrame(())
        self._delivered: list[float] = []
        self._remarks: list[Text] = []
        self._began = self._drawn = clock()

    @property
    def open(self) -> bool:
        """Whether a frame is shown."""
        return self._live is not None

    @property
    def frame(self) -> LiveFrame:
        """All that has been told, as of now."""
        return replace(
            self._frame,
            rows=tuple(self._rows.values()),
            gone_s=self._clock() - self._began,
            delivered=tuple(self._delivered),
        )

    def begin(self, event: RunPlanned) -> None:
        """Show the plan: a row each for the cells that will be launched."""
        self.end()
        to_launch = [planned.cell for planned in event.cells if planned.skip is None]
        names = names_of(to_launch)
        self._rows = {cell.key: LiveRow(name) for cell, name in zip(to_launch, names, strict=True)}
        self._frame = LiveFrame((), skipped=len(event.cells) - len(to_launch))
        self._delivered = []
        self._began = self._clock()
        self._open()
        self._draw()

    def tell(self, event: RunEvent) -> None:
        """Show one event; those that change nothing of the frame are not drawn."""
        if isinstance(event, LaunchStarted):
            self._start(event.planned, event.round)
        elif isinstance(event, VisitsMade):
            self._look(event)
        elif isinstance(event, RecordUpdated):
            self._note(event.record)
            if self._clock() - self._drawn < LEAST_BETWEEN_S:
                return
        elif isinstance(event, LaunchedAfresh):
            self._change(event.planned.cell.key, state=RowState.WAITING)
        else:
            return
        self._draw()

    def remark(self, words: str, style: str = "") -> None:
        """A line that stays, above the frame."""
        line = Text(inert(words), style)
        self._remarks = [*self._remarks[1 - MOST_REMARKS :], line]
        with interrupted_afterwards():
            self._console.print(line, soft_wrap=True)

    def end(self) -> None:
        """Take the frame away; the cursor is shown again."""
        if self._live is None:
            return
        with interrupted_afterwards():
            self._live.stop()
            self._live = None
            if self._console.size != self._size:
                self._clear()

    def _start(self, planned: Planned, number: int) -> None:
        key = planned.cell.key
        row = self._rows.get(key)
        if row is None:
            return
        # A cell of which something is known already gets one more process.
        if row.state is RowState.WAITING:
            self._change(key, state=RowState.STARTING)
        what = "starting" if number == 0 else f"starting number {number + 1} of"
        self._frame = replace(self._frame, doing=f"{what} {row.name}")

    def _look(self, event: VisitsMade) -> None:
        for look in event.looks:
            self._see(look, event.wanted)
        if event.delivered is not None:
            self._delivered.append(event.delivered)
        ends = datetime.now() + timedelta(seconds=max(event.left_s, 0))
        self._frame = replace(
            self._frame,
            round=event.rounds,
            left_s=event.left_s,
            ends=f"{ends:%H:%M}",
            budget_s=event.budget_s,
            wanted=event.wanted,
            doing="",
        )

    def _see(self, look: CellLook, wanted: float | None) -> None:
        state = RowState.MEASURING
        if look.ended:
            state = RowState.FAILED
        elif wanted is not None and look.widths.narrow(wanted):
            state = RowState.KNOWN
        self._change(
            look.planned.cell.key,
            state=state,
            p50_ms=look.widths.time_ms,
            half_width=look.widths.undisturbed_half_width,
            looks=look.visits,
            sure=look.widths.known,
        )

    def _note(self, record: Record) -> None:
        """A record as it was written; of a cell that is visited the looks know more."""
        row = self._rows.get(record.cell.key)
        if row is None:
            return
        if record.judgement.verdict in NEVER_MEASURED and record.complete:
            self._change(record.cell.key, state=RowState.FAILED)
            return
        if row.state is RowState.STARTING and len(record.launches) == 1:
            # Of one launch there is no interval; and where it will be visited, it only settled.
            self._change(record.cell.key, state=RowState.STARTED)
        elif record.summary is not None and not record.visits:
            state = record.summary.states[0]
            width = None
            if state.p50_low_ms is not None and state.p50_high_ms is not None:
                width = half_width(state.p50_ms, state.p50_low_ms, state.p50_high_ms)
            self._change(
                record.cell.key,
                state=RowState.MEASURING,
                p50_ms=state.p50_ms,
                half_width=width,
                looks=len(record.launches),
            )
        if record.complete:
            known = record.stopped == "precise"
            self._change(record.cell.key, state=RowState.KNOWN if known else RowState.SPENT)

    def _change(
        self,
        key: Key,
        *,
        state: RowState,
        p50_ms: float | None = None,
        half_width: float | None = None,
        looks: int | None = None,
        sure: bool = True,
    ) -> None:
        """Another state of a row; figures only where they are given."""
        row = self._rows.get(key)
        if row is None:
            return
        self._rows[key] = replace(
            row,
            state=state,
            p50_ms=row.p50_ms if p50_ms is None else p50_ms,
            half_width=row.half_width if half_width is None else half_width,
            looks=row.looks if looks is None else looks,
            sure=sure if looks is not None else row.sure,
        )

    def _clear(self) -> None:
        """Begin the screen anew after it changed its size: where the terminal put the lines of the
        last frame, only it knows."""
        self._console.clear()
        for line in self._remarks:
            self._console.print(line, soft_wrap=True)

    def _open(self) -> Live:
        self._size = self._console.size
        live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=False,  # results may go to a file meanwhile
        )
        live.start()
        self._live = live
        return live

    def _draw(self) -> None:
        if self._live is not None:
            with interrupted_afterwards():
                self._draw_on(self._live)

    def _draw_on(self, live: Live) -> None:
        if self._console.size != self._size:
            live.stop()
            self._clear()
            live = self._open()
        width, height = self._size
        lines = frame_lines(self.frame, width, height - 2)
        # The cursor rests on a line of its own: a terminal echoes ^C there, and breaks no line.
        live.update(Group(*lines, Text("")), refresh=True)
        self._drawn = self._clock()


@contextmanager
def interrupted_afterwards() -> Iterator[None]:
    """Within it Ctrl-C and SIGTERM wait: half a frame could not be taken away any more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def names_of(cells: list[Cell]) -> list[str]:
    """A name for each cell: its title, without what all have in common by default."""
    names = [cell.title() for cell in cells]
    if all(cell.batch == 1 for cell in cells):
        names = [name.replace(" batch 1", "", 1) for name in names]
    if len(set(names)) < len(names) and len({cell.image_size for cell in cells}) > 1:
        pairs = zip(names, cells, strict=True)
        names = [f"{name} {cell.image_size[0]} px" for name, cell in pairs]
    return names
