"""A bar on standard error for work that counts its steps itself."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

from deploybench.report.console import progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from deploybench.report.step_log import StepLines


class Steps:
    """A context manager that is told what is being done, how far it is, and of how many."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._bar: Bar | StepLines | None = None
        self._task: TaskID | None = None
        self._what = ""

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tell(self, what: str, done: int, total: int) -> None:
        """So many of all steps are done; another word for what is being done begins another bar."""
        if self._bar is None or what != self._what:
            self._stack.close()
            self._bar = progress_bar()
            self._stack.enter_context(self._bar)
            self._task = self._bar.add_task(what, total=total)
            self._what = what
        if self._task is not None:
            self._bar.update(self._task, completed=done)
