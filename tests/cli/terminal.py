"""A terminal that a test looks at: a command runs in a pseudo-terminal, and pyte draws what it
writes."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pyte


class Terminal:
    """The command line in a terminal of that size; ``output`` takes its standard output.

    ``raw`` is all that was written, ``code`` the exit code once it has ended. A picture may be
    half drawn at any moment: what a test looks for it waits for (``until``). The command ends with
    the block.
    """

    def __init__(self, arguments: list[str], columns: int, rows: int, output: Path) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.code: int | None = None
        self._ended = False
        # Named as a whole: readline, which pytest imports, sets COLUMNS and LINES where os.environ
        # does not see them, and a program with these does not look at its terminal's size.
        environment = {**os.environ, "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES", "NO_COLOR", "CI"):
            environment.pop(name, None)
        command = [sys.executable, "-m", "deploybench", *arguments]
        # fork and exec: the child has the terminal as its own, so that ^C reaches it.
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.dup2(os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 1)
            os.execve(sys.executable, command, environment)
        self.resize(columns, rows)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *raised: object) -> None:
        if self.code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._end()

    @property
    def lines(self) -> list[str]:
        """What is seen now."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as a user who pulls at the window makes it."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def until(self, seen: Callable[[], bool], limit_s: float = 120) -> bool:
        """Read until something is seen; whether it was, before the end and the time."""
        deadline = time.monotonic() + limit_s
        while not seen():
            if time.monotonic() > deadline or not self._read():
                return seen()
        return True

    def to_the_end(self, limit_s: float = 120) -> None:
        """Read until the command has ended."""
        self.until(lambda: False, limit_s)
        assert self._ended, f"it has not ended in {limit_s:g} s"
        self._end()

    def _end(self) -> None:
        _, status = os.waitpid(self._pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        os.close(self._fd)

    def _read(self) -> bool:
        """Feed what there is; whether more may come."""
        ready, _, _ = select.select([self._fd], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # the child has closed its side
            data = b""
        self._ended = not data
        self.raw += data
        self._stream.feed(data)
        return bool(data)
