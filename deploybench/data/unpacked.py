"""Compressed files that hold many images, unpacked once so that single images can be read.

A compressed stream cannot be entered in its middle. It is written out into the user's cache, under
a name that changes with the file; memory does not grow with it. A small file may unpack to more
than any disk holds: what is said to be inside is checked first.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, writing_whole

FREELY_UNPACKED = 1 << 30
"""Bytes that are unpacked whatever the file's size."""
MOST_TIMES = 100
"""Beyond that: so many times the file at most. Images, black ones aside, shrink to a tenth."""
LEFT_FREE = 1 << 30
CHUNK = 1 << 20


def unpacked(
    packed: Path, member: str, size: int, packed_bytes: int, opened: Callable[[], BinaryIO]
) -> Path:
    """Where the unpacked content lies: ``size`` bytes of ``member`` of the file ``packed``.

    ``opened`` gives its stream, ``packed_bytes`` is how much the member takes in the file.

    Raises DeployBenchError for what is too large, and where there is more or less than ``size``.
    """
    if size > FREELY_UNPACKED and size > MOST_TIMES * packed_bytes:
        raise DeployBenchError(
            f"{packed} would unpack from {packed_bytes} to {size} bytes{_of(member)}",
            expected=f"at most {MOST_TIMES} times as much",
            action="unpack it yourself if that is right",
        )
    target = cache_folder() / "data" / _name(packed, member, size)
    if target.is_file() and target.stat().st_size == size:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise DeployBenchError(
            f"{packed} has to be unpacked, and {target.parent} cannot be made: {error.strerror}",
            action="set XDG_CACHE_HOME to a folder that can be written",
        ) from None
    if size + LEFT_FREE > free:
        raise DeployBenchError(
            f"{packed} unpacks to {size} bytes{_of(member)}, and {free} are free in "
            f"{target.parent}",
            action="free some space, or set XDG_CACHE_HOME to another disk",
        )
    with writing_whole(target, option="folder with XDG_CACHE_HOME") as partial:
        _write(packed, member, size, opened, partial)
    return target


def _write(
    packed: Path, member: str, size: int, opened: Callable[[], BinaryIO], partial: Path
) -> None:
    written = 0
    with opened() as stream, partial.open("wb") as out:
        while chunk := stream.read(CHUNK):
            written += len(chunk)
            if written > size:
                break
            out.write(chunk)
    if written != size:
        relation = "more" if written > size else f"{written}"
        raise DeployBenchError(
            f"{packed} holds {relation} bytes{_of(member)}, and its header says {size}",
            action="copy or download it again",
        )


def _name(packed: Path, member: str, size: int) -> str:
    """Another one for another file, and for one that was written again."""
    status = packed.stat()
    known = (str(packed.resolve()), status.st_size, status.st_mtime_ns, member, size)
    return hashlib.sha256(repr(known).encode(errors="surrogateescape")).hexdigest()[:32]


def _of(member: str) -> str:
    return f" of {member}" if member else ""
