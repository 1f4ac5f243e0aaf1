"""The consoles: results go to standard output, progress and remarks to standard error."""

from __future__ import annotations

import os
import shutil
from enum import Enum
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from deploybench.inert import inert
from deploybench.report.step_log import NoSteps, StepLines

PIPE_WIDTH = 112
LEAST_WIDTH = 20
"""Narrower pages hold no word of ours."""


class Showing(str, Enum):
    """How much of its progress a command shows on standard error."""

    LIVE = "live"
    """What moves, where there is a terminal; else lines."""
    LINES = "lines"
    """A line a step, as in a log."""
    NOTHING = "nothing"
    """Neither progress nor remarks, but warnings."""


def output_console() -> Console:
    """Standard output; 112 columns where no terminal or COLUMNS says otherwise."""
    return Console(width=_width(), highlight=False, soft_wrap=False)


def remark_console() -> Console:
    """Standard error."""
    return Console(stderr=True, width=_width(), highlight=False)


def remark(words: str, style: str = "") -> None:
    """A line on standard error that stays; what is too long for the page is the terminal's to
    break."""
    remark_console().print(Text(inert(words), style), soft_wrap=True)


def terminal_console() -> Console | None:
    """Standard error where it is a terminal on which something can move, else None.

    FORCE_COLOR or TTY_COMPATIBLE would have rich take a file for one.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_interactive or not console.file.isatty():
        return None
    return console


def progress_bar(showing: Showing = Showing.LIVE, *, still: bool = False) -> Progress | StepLines:
    """A bar with what is being done, how many are done, and the time left; on standard error.

    Without a terminal one line a step. A ``still`` bar is drawn when something is told, and never
    by a thread beside what is measured meanwhile.
    """
    if showing is Showing.NOTHING:
        return NoSteps()
    console = terminal_console()
    if console is None or showing is Showing.LINES:
        return StepLines()
    bar = StillProgress if still else Progress
    return bar(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        auto_refresh=not still,
    )


class StillProgress(Progress):
    """A bar that moves when it is told something, and not by itself."""

    def update(self, *args: Any, **fields: Any) -> None:
        """As rich's, and drawn."""
        super().update(*args, **fields)
        self.refresh()

    def advance(self, *args: Any, **fields: Any) -> None:
        """As rich's, and drawn."""
        super().advance(*args, **fields)
        self.refresh()


def _width() -> int:
    """COLUMNS, else the terminal's width, else 112; a width of 0 is none at all."""
    asked = os.environ.get("COLUMNS", "")
    columns = int(asked) if asked.isdigit() else 0
    if columns == 0:
        columns = shutil.get_terminal_size((PIPE_WIDTH, 24)).columns or PIPE_WIDTH
    return max(columns, LEAST_WIDTH)
