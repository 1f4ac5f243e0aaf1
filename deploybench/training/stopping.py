"""A training that is asked to stop does so between two steps.

Ctrl-C in the middle of an optimizer's step would leave weights of which one half is a step further
than the other. So the first signal is remembered, and the second one ends the process where it is.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, TypeVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)


H = TypeVar("H", bound="HeardSignals")


class HeardSignals:
    """A context manager in which :meth:`_hear` gets SIGINT and SIGTERM, where :meth:`_takes` them.
    Outside of the main thread it does nothing: there Python hands no signals."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self: H) -> H:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if self._takes(before):
                    self._before[number] = before
                    signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _takes(self, before: Any) -> bool:
        """Whether a signal is heard here whose handler was ``before``: where one can be called."""
        return callable(before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        """A signal came."""
        raise NotImplementedError


class StopSignals(HeardSignals):
    """Remembers SIGINT and SIGTERM."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: tuple[signal.Signals, FrameType | None] | None = None

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return self._asked is not None

    def hand_on(self) -> None:
        """Do what the signal does where nobody remembers it. Raises KeyboardInterrupt."""
        if self._asked is not None:
            number, frame = self._asked
            before = self._before.get(number)
            if callable(before):
                before(number, frame)
        raise KeyboardInterrupt

    def _takes(self, before: Any) -> bool:
        return before not in (signal.SIG_IGN, None)  # nohup, or not Python's: as it was

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not None:
            self.hand_on()
        self._asked = (signal.Signals(number), frame)
