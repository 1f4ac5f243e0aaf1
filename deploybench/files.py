"""Files written whole or not at all, names that are safe as paths, and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploybench.errors import DeployBenchError

STAGING_PREFIX = ".partial-"
LAYERS_SUFFIX = ".layers.json"
"""Of what ``deploybench explain`` writes: it may lie among records, which it is none of."""
STATE_VARIABLE = "DEPLOYBENCH_STATE"


def cache_folder() -> Path:
    """The user's cache of this program: what can be made again on the same machine.

    A user without a home (a bare number in a container) gets a folder among the temporary ones.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named) / "deploybench"
    home = _home()
    if home is None:
        return Path(tempfile.gettempdir()) / f"deploybench-cache-{_user()}"
    return home / ".cache" / "deploybench"


def state_folders() -> list[Path]:
    """Where this program keeps what belongs to the user and cannot be made again: best first.

    $DEPLOYBENCH_STATE alone where it is set; else the user's own folder for such things, and a
    private one among the temporary files for a user without a home or with one that is read only.
    """
    named = os.environ.get(STATE_VARIABLE)
    if named:
        return [Path(named)]
    folders = []
    shared = os.environ.get("XDG_STATE_HOME")
    home = _home()
    if shared:
        folders.append(Path(shared) / "deploybench")
    elif home is not None:
        folders.append(home / ".local" / "state" / "deploybench")
    temporary = Path(tempfile.gettempdir()) / f"deploybench-state-{_user()}"
    if _is_private(temporary):
        folders.append(temporary)
    return folders


def _is_private(folder: Path) -> bool:
    """Whether nobody else could have put something there: it is the user's alone, or not yet there.

    The name of a temporary folder is known beforehand, so another user might have been first.
    """
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    others = stat.S_IRWXG | stat.S_IRWXO
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return stat.S_ISDIR(found.st_mode) and own and not found.st_mode & others


def _home() -> Path | None:
    """The user's home, or None where neither HOME nor the list of users names one."""
    # An empty HOME would make ~ the root of the file system.
    if os.environ.get("HOME") == "":
        return None
    try:
        return Path.home()
    except RuntimeError:
        return None


def _user() -> str:
    """What keeps the temporary folders of two users apart; Windows has no number and no need."""
    if not hasattr(os, "getuid"):
        return "user"
    return str(os.getuid())


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, flush it to disk, rename it.

    A failure leaves no partial file.
    """
    if isinstance(content, str):
        content = content.encode()
    with writing_whole(path) as partial:
        partial.write_bytes(content)


@contextlib.contextmanager
def writing_whole(path: Path, option: str = "--workspace") -> Iterator[Path]:
    """A temporary name beside ``path`` to write to.

    What is there at the end is flushed to disk and renamed. Two writers of one file never share the
    temporary name: the last one to finish wins, whole. Whatever goes wrong leaves no partial file.
    An OSError becomes a DeployBenchError that advises another ``option``.
    """
    partial = path.with_name(f"{STAGING_PREFIX}{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
        _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the folder itself may be gone, or read-only by now
            partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise DeployBenchError(
            f"{path} could not be written: {error.strerror or error}",
            action=f"free some space or choose another {option}",
        ) from error


def _flush_folder(folder: Path) -> None:
    """Flush the new name itself: without this a power cut may bring the old file back."""
    if sys.platform == "win32":  # a folder cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems know no flush of a folder; the file itself is written.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def json_files_below(folder: Path) -> Iterator[Path]:
    """Every JSON file below a folder that is not hidden, links to folders followed.

    A folder that is reached twice (a link to a folder above it) is read once. What
    ``deploybench explain`` wrote there (:data:`LAYERS_SUFFIX`) is no record, and left out.
    """
    visited: set[Path] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = Path(parent).resolve()
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if name != "artifacts")
        for name in sorted(names):
            if names_a_record(name):
                yield Path(parent) / name


def names_a_record(name: str) -> bool:
    """Whether a file of that name is to be read as a record: JSON, finished, of no other kind."""
    unfinished = name.startswith(".")
    return name.endswith(".json") and not unfinished and not name.endswith(LAYERS_SUFFIX)


def from_here(path: str | Path) -> str:
    """The path as it is typed from the current folder, where that is no longer than the path."""
    given = str(path)
    try:
        relative = os.path.relpath(given)
    except (OSError, ValueError):  # the current folder is gone, or the path is on another drive
        return given
    if len(relative) > len(given):
        return given
    return relative


def slug(name: str) -> str:
    """A model name as a folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def size_below(folder: Path) -> int:
    """The bytes of all files below a folder, links as such; others may remove some meanwhile."""
    size_bytes = 0
    # os.walk passes over a folder that cannot be read, or is gone.
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size_bytes += Path(parent, name).lstat().st_size
    return size_bytes
