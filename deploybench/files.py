"""Files written whole or not at all, names that are safe as paths, and the folder of what can be
made again."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from deploybench.errors import DeployBenchError

STAGING_PREFIX = ".partial-"


def cache_folder() -> Path:
    """The user's cache of this program: what can be made again on the same machine."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deploybench"


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, flush it to disk, rename it.

    A failure leaves no partial file.
    """
    with writing_whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def writing_whole(path: Path, option: str = "--workspace") -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; what is there at the end is flushed to disk and
    renamed.

    Whatever goes wrong leaves no partial file. An OSError becomes a DeployBenchError that advises
    another ``option``.
    """
    partial = path.with_name(f"{STAGING_PREFIX}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise DeployBenchError(
            f"{path} could not be written: {error.strerror}",
            action=f"free some space or choose another {option}",
        ) from error


def slug(name: str) -> str:
    """A model name as a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"
