"""What may lie in an artifact's folder: what its manifest lists, and nothing beside it.

A file that nobody listed has no hash under the seal, and a runtime may read it all the same: an
engine library that looks for a plug-in beside the model, a graph that names a file of weights.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX

LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", ".directory"})
"""What file managers of macOS, Windows and Linux write into folders that they show. No runtime
reads a file of such a name, and a user who looked into a folder has not changed an artifact."""
LEFT_BY_PREFIX = ("._", ".nfs")
"""macOS keeps attributes so on disks that know none; NFS, what was removed while it was open."""
LONGEST_NAME = 255
"""Bytes of one part of a path, on the common file systems."""
WINDOWS_SIGNS = '\\:*?"<>|'
"""A name with one of these means something else on another system, or nothing."""


def check_names(names: Collection[str], reserved: Collection[str], origin: str) -> None:
    """Refuse a list of files that would not come out the same everywhere.

    That is a name that leads out of the folder or is not one file's on every system, two names that
    are one on a disk that ignores case, and a name that is ``reserved``. ``origin`` lists them.

    Raises DeployBenchError that names the first.
    """
    seen: dict[str, str] = {}
    for name in names:
        problem = _problem_of(name)
        if name in reserved:
            problem = "which is no file of the export"
        folded = unicodedata.normalize("NFC", name).casefold()
        if folded in seen:
            problem = f"and '{seen[folded]}': one file on a disk that ignores case"
        if problem is not None:
            raise DeployBenchError(
                f"{origin} names the file '{name}', {problem}",
                expected="files inside the artifact, each under a name of its own",
            )
        seen[folded] = name


def _problem_of(name: str) -> str | None:
    """Why a name is not that of one file in the folder on every system, or None."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return "which is outside the artifact"
    if not path.parts or str(path) != name:
        return "which is no plain name of a file"
    if any(sign in WINDOWS_SIGNS or not sign.isprintable() for sign in name):
        return "which holds a character that names of files may not have"
    if any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        return "which is too long"
    return None


def check_nothing_else(folder: Path, listed: Collection[str], tolerated: Collection[str]) -> None:
    """Refuse anything in the folder that is neither listed nor tolerated, without opening it.

    ``listed`` and ``tolerated`` are names of files below ``folder``, with ``/`` between the parts.
    A listed file may be a link, but not one that leads out of the folder.

    Raises DeployBenchError that names the first.
    """
    folders = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
    home = folder.resolve()
    for entry in _entries(folder):
        name = Path(entry.path).relative_to(folder).as_posix()
        if name in listed:
            target = Path(entry.path).resolve()
            if not target.is_relative_to(home):
                raise DeployBenchError(
                    f"{entry.path} is a link to {target}",
                    expected="a file inside the artifact",
                    action="put the file itself there, or export again",
                )
            continue
        if entry.is_dir(follow_symlinks=False):
            if name in folders:
                continue
        elif name in tolerated or _is_left_behind(entry):
            continue
        raise DeployBenchError(
            f"{entry.path} is in the artifact's folder, and its manifest does not list it",
            expected="the files that were exported, and no other: what is not listed is not "
            "under the seal",
            action="move it out of the folder if you know what it is; else remove the artifact "
            "and export it again",
        )


def _is_left_behind(entry: os.DirEntry[str]) -> bool:
    """Whether a system or a write that was killed left a plain file there that nothing reads."""
    if not entry.is_file(follow_symlinks=False):
        return False
    name = entry.name
    return name in LEFT_BY_SYSTEMS or name.startswith((*LEFT_BY_PREFIX, STAGING_PREFIX))


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder, in the order of the names; links are not followed."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(Path(entry.path))
