"""A training that is asked to stop does so between two steps.

Ctrl-C in the middle of an optimizer's step would leave weights of which one half is a step further
than the other. So the first signal is remembered, and the second one ends the process where it is.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """A context manager that remembers SIGINT and SIGTERM. Outside of the main thread it does
    nothing: there Python hands no signals."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}
        self._asked: tuple[signal.Signals, FrameType | None] | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked is not None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in SIGNALS:
            before = signal.getsignal(number)
            if before in (signal.SIG_IGN, None):  # nohup, or not Python's: as it was
                continue
            self._before[number] = before
            signal.signal(number, self._remember)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def hand_on(self) -> None:
        """Do what the signal does where nobody remembers it. Raises KeyboardInterrupt."""
        if self._asked is not None:
            number, frame = self._asked
            before = self._before.get(number)
            if callable(before):
                before(number, frame)
        raise KeyboardInterrupt

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            self.hand_on()
        self._asked = (signal.Signals(number), frame)
