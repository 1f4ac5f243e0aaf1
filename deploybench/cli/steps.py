"""A bar on standard error, and what is told to it by work that counts its steps itself."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from deploybench.inert import inert
from deploybench.report.console import Showing, progress_bar
from deploybench.report.step_log import StepLines

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

B = TypeVar("B", bound="StepBar")


class StepBar:
    """A context manager that shows one bar at a time, and takes it away at the end.

    Between two bars there may be none; what is said of none is not shown.
    """

    def __init__(self, showing: Showing = Showing.LIVE) -> None:
        self.showing = showing
        self._stack = ExitStack()
        self._bar: Bar | StepLines | None = None
        self._task: TaskID | None = None

    def __enter__(self: B) -> B:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def open(self) -> bool:
        """Whether a bar is shown."""
        return self._bar is not None

    @property
    def in_a_log(self) -> bool:
        """Whether lines stand for the bar: what is said is a line that stays."""
        return isinstance(self._bar, StepLines)

    def begin(self, words: str, total: int, *, still: bool = False) -> None:
        """Begin some work of so many steps, in place of what was shown before. While something is
        measured the bar has to be ``still``."""
        self._stack.close()
        bar = progress_bar(self.showing, still=still)
        self._stack.enter_context(bar)
        self._bar = bar
        self._task = bar.add_task(words, total=total)

    def say(self, words: str) -> None:
        """Say what is being done now."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=inert(words))

    def complete(self, done: int) -> None:
        """So many steps are done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done)

    def advance(self) -> None:
        """One step more is done."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task)

    def end(self) -> None:
        """Take the bar away, so that something else can be written."""
        self._stack.close()
        self._bar = self._task = None


class Steps(StepBar):
    """A bar that is told what is being done, how far it is, and of how many."""

    def __init__(self) -> None:
        super().__init__()
        self._what = ""

    def tell(self, what: str, done: int, total: int) -> None:
        """So many of all steps are done; another word for what is being done begins another bar."""
        if not self.open or what != self._what:
            self.begin(what, total)
            self._what = what
        self.complete(done)
