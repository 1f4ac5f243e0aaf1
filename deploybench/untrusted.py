"""Files that somebody else may have written, read within limits.

A name may lead to anything: a pipe that never ends or never begins, a device, a folder, a file of
terabytes that takes no room on the disk. What is no plain file, or larger than anything of its kind
has a reason to be, is refused at once, before it is read. Every refusal is an OSError that says so,
so that it is told wherever a file that cannot be read is.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

MOST_BYTES = 64 << 20
"""Of a text or a document. A record of a long run has a few MiB: of very many samples only the
first and the last thousands are kept one by one."""
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0)
"""Opening a pipe would wait for whoever writes into it. Windows has none of either."""


def check_regular(path: Path) -> None:
    """Raise OSError unless the path leads to a plain file; nothing is opened."""
    _check_mode(path.stat().st_mode, path)


def open_regular(path: Path) -> BinaryIO:
    """The file, open for reading; never waits. Raises OSError unless it is a plain file."""
    check_regular(path)
    stream = _opened(path)
    try:
        # Somebody may have put something else there in the meantime.
        _check_mode(os.fstat(stream.fileno()).st_mode, path)
    except OSError:
        stream.close()
        raise
    return stream


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The whole content. Raises OSError for no plain file, and for more than ``most_bytes``."""
    with open_regular(path) as stream:
        # Room for what the file says that it has: room for the most takes longer than to read it.
        said = min(os.fstat(stream.fileno()).st_size, most_bytes)
        content = stream.read(said + 1)
        if len(content) > said:
            # A file may grow while it is read, and some of the system's own say they are empty.
            content += stream.read(most_bytes - said)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"it has more than {most_bytes >> 20} MiB", str(path))
    return content


def read_text(path: Path, most_bytes: int = MOST_BYTES) -> str:
    """The whole content in UTF-8. Raises OSError as :func:`read_bytes`, UnicodeDecodeError too."""
    return read_bytes(path, most_bytes).decode("utf-8")


def read_tail(path: Path, most_bytes: int) -> str:
    """The end of a text that may be of any length, a log say. Raises OSError as above."""
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        stream.seek(max(size - most_bytes, 0))
        return stream.read(most_bytes).decode("utf-8", errors="replace")


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What the JSON in a file says.

    Raises OSError as :func:`read_bytes`, and ValueError for what is no JSON, or nests too deeply.
    """
    return json_of(read_bytes(path, most_bytes))


def json_of(content: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError for what is none, or nests too deeply."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("its values lie too deep within each other") from None


def _opened(path: Path) -> BinaryIO:
    return open(path, "rb", opener=_without_waiting)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | WITHOUT_WAITING)


def _check_mode(mode: int, path: Path) -> None:
    if stat.S_ISREG(mode):
        return
    for is_kind, words in KINDS:
        if is_kind(mode):
            raise OSError(errno.EINVAL, f"it is {words}, not a file", str(path))
    raise OSError(errno.EINVAL, "it is not a file", str(path))
