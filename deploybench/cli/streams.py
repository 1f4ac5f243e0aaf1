"""Standard output and error that never decide how a command ends.

A character that the encoding lacks is replaced instead of raising an error. A reader that went away
(``| head -1``) gets no more, and the command goes on to its own exit code.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import Any, TextIO

REPLACEMENT = "deploybench-replacement"
NEAREST = {
    "→": ">",
    "–": "-",
    "·": ".",
    "…": ".",
    "×": "x",
    "±": "~",
    "≈": "~",
    "◂": "<",
    "≤": "<",
    "▁": "_",
    "▂": ".",
    "▃": "-",
    "▄": "=",
    "▅": "+",
    "▆": "*",
    "▇": "%",
    "█": "#",
}
"""What ASCII has for what this program prints: of the same width, so that tables stay tables."""


def prepare_streams() -> None:
    """Take over standard output and error of a process that is a command line."""
    codecs.register_error(REPLACEMENT, _replacement)
    sys.stdout = _forgiving(sys.stdout)
    sys.stderr = _forgiving(sys.stderr)


class _Pipe(io.FileIO):
    """A file descriptor that forgets what nobody reads any more."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            return memoryview(content).nbytes


class _Text(io.TextIOWrapper):
    """Text on a :class:`_Pipe`.

    Typer takes a stream that calls itself ASCII for a mistake and writes UTF-8 to it. This one
    calls itself Latin-1, and still writes ASCII.
    """

    @property
    def encoding(self) -> str:  # type: ignore[override]
        own = str(super().encoding)
        return "latin-1" if codecs.lookup(own).name == "ascii" else own


def _forgiving(stream: TextIO | None) -> TextIO:
    """The same stream, with replaced characters and without broken pipes.

    A closed one (``>&-``) becomes one that goes nowhere.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - for the whole process
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return _Text(
        io.BufferedWriter(_Pipe(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=REPLACEMENT,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _replacement(error: UnicodeError) -> tuple[str, int]:
    """The nearest characters that the encoding has, else question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    nearest = [NEAREST.get(character, "?") for character in missing]
    return "".join(nearest), error.end
