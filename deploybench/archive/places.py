"""Where results lie: a folder or a file of this machine, a prefix of an object store (fsspec), or a
folder of a revision of a git repository (``git_places.py``).

A place holds JSON documents, or a pack of them (``packing.py``); nothing in it is ever trusted.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deploybench.archive.extra import needed
from deploybench.errors import DeployBenchError
from deploybench.files import json_files_below, write_whole
from deploybench.results.store import NoRecordsError
from deploybench.untrusted import read_bytes

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MARKER = "deploybench-results.json"
"""A file of this name makes a folder a pack."""
STORES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
"""The kinds of object stores, each with the package that reaches it."""
OTHER_URLS = ("memory",)
MOST_BYTES = 1 << 30
"""Of one file: parts of packs are written from at most 128 MiB of records."""


class Place(ABC):
    """A folder of results, or one file of them. ``name`` is as the user gave it."""

    name: str

    @abstractmethod
    def json_files(self) -> list[str]:
        """The paths of all JSON documents, relative to the place, in order.

        Raises DeployBenchError where there is nothing at all.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The content of the file at that relative path. Raises DeployBenchError."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Write a file whole, or not at all. Raises DeployBenchError."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Take the file at that relative path away. Raises DeployBenchError."""

    @abstractmethod
    def files(self, folder: str) -> list[str]:
        """The relative paths of all files below a folder of the place, in order; none where there
        is no such folder."""

    @abstractmethod
    def parts(self, folder: str) -> list[str]:
        """The relative paths of the Parquet files below a folder of a pack, in order."""

    @abstractmethod
    def address(self, path: str) -> str:
        """The path as DuckDB reads it: absolute, or a URL."""

    @property
    def is_pack(self) -> bool:
        return self.exists(MARKER)

    @abstractmethod
    def exists(self, path: str) -> bool:
        """Whether there is a file at that relative path. Raises DeployBenchError."""


class LocalPlace(Place):
    """A folder or a file of this machine."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.only_file = path.name if path.is_file() else None
        self.path = path.parent if self.only_file else path

    def json_files(self) -> list[str]:
        if self.only_file:
            return [self.only_file]
        if not self.path.is_dir():
            raise NoRecordsError(
                f"there are no results at {self.name}",
                expected="a record, a folder of records, a pack, or a URL such as s3://BUCKET/PACK",
                action="deploybench run writes records; deploybench results pack packs them",
            )
        # Of thousands of paths Path.relative_to takes longer than to find them.
        above = len(str(self.path)) + len(os.sep)
        if self.path == Path():
            above = 0
        return [str(path)[above:] for path in json_files_below(self.path) if path.name != MARKER]

    def read(self, path: str) -> bytes:
        try:
            return read_bytes(Path(self._at(path)), MOST_BYTES)
        except OSError as error:
            raise DeployBenchError(
                f"{self._at(path)} could not be read: {error.strerror}",
                expected=f"a plain file of at most {MOST_BYTES >> 20} MiB",
            ) from error

    def write(self, path: str, content: bytes) -> None:
        write_whole(Path(self._at(path)), content)

    def remove(self, path: str) -> None:
        target = Path(self._at(path))
        try:
            target.unlink(missing_ok=True)
            # A folder that is empty now goes, too; one that is not stays.
            for parent in PurePosixPath(path).parents[:-1]:
                (self.path / parent).rmdir()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise DeployBenchError(
                    f"{target} could not be removed: {error.strerror}"
                ) from error

    def files(self, folder: str) -> list[str]:
        found = []
        # os.walk follows no link: what a link in a place leads to is no part of it.
        for parent, _, names in os.walk(self.path / folder):
            for name in names:
                path = Path(parent) / name
                if not path.is_symlink():
                    found.append(path.relative_to(self.path).as_posix())
        return sorted(found)

    def parts(self, folder: str) -> list[str]:
        return [path for path in self.files(folder) if _is_part(path)]

    def address(self, path: str) -> str:
        return self._at(path)

    def exists(self, path: str) -> bool:
        return (self.path / path).is_file()

    def _at(self, path: str) -> str:
        return f"{self.path}{os.sep}{path}"


class RemotePlace(Place):
    """A prefix of an object store, reached through fsspec."""

    def __init__(self, name: str, filesystem: AbstractFileSystem, root: str, scheme: str) -> None:
        self.name = name
        self.filesystem = filesystem
        self.root = root.rstrip("/")
        self.scheme = scheme

    def json_files(self) -> list[str]:
        found = [path for path in self._find("") if path.endswith(".json")]
        if not found and self.root.endswith(".json") and self.filesystem.isfile(self.root):
            self.root, _, only_file = self.root.rpartition("/")
            return [only_file]
        kept = [path for path in found if is_result(path)]
        if not kept and not self.exists(MARKER):
            raise NoRecordsError(
                f"there are no results at {self.name}",
                expected="records, or a pack",
                action="deploybench results keep URL, or deploybench results pack FOLDER -o URL",
            )
        return kept

    def read(self, path: str) -> bytes:
        with reaching(self.address(path)):
            size = self.filesystem.size(self._at(path)) or 0
            if size > MOST_BYTES:
                raise OSError(errno.EFBIG, "it is too large", path)
            content: bytes = self.filesystem.cat_file(self._at(path))
        return content

    def write(self, path: str, content: bytes) -> None:
        # An object appears whole when its upload has ended, or not at all.
        with reaching(self.address(path), "written"):
            self.filesystem.pipe_file(self._at(path), content)

    def remove(self, path: str) -> None:
        with reaching(self.address(path), "removed"):
            self.filesystem.rm_file(self._at(path))

    def files(self, folder: str) -> list[str]:
        return self._find(folder)

    def parts(self, folder: str) -> list[str]:
        return [path for path in self._find(folder) if path.endswith(".parquet")]

    def address(self, path: str) -> str:
        return f"{self.scheme}://{self._at(path).lstrip('/')}"

    def exists(self, path: str) -> bool:
        with reaching(self.address(path)):
            return bool(self.filesystem.isfile(self._at(path)))

    def _at(self, path: str) -> str:
        if not path:
            return self.root
        return f"{self.root}/{path}"

    def _find(self, folder: str) -> list[str]:
        start = self._at(folder)
        with reaching(self.name):
            if not self.filesystem.exists(start):
                return []
            found = self.filesystem.find(start)
        return sorted(path[len(self.root) :].lstrip("/") for path in found)


def is_result(path: str) -> bool:
    """Whether the file at that relative path is one of results: a JSON document that is not hidden,
    and no part of an artifact."""
    parts = PurePosixPath(path).parts
    hidden = parts[-1].startswith(".") or parts[-1] == MARKER
    return path.endswith(".json") and not hidden and "artifacts" not in parts


def _is_part(path: str) -> bool:
    return path.endswith(".parquet") and not PurePosixPath(path).name.startswith(".")


class reaching:  # noqa: N801 (reads as a word after with)
    """Turns whatever a store ends with into words: no key, no bucket, no network."""

    def __init__(self, address: str, verb: str = "read") -> None:
        self.address = address
        self.verb = verb

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        reason = str(error) or type(error).__name__
        raise DeployBenchError(
            f"{self.address} could not be {self.verb}: {reason}",
            expected="an object store that answers, and rights to it",
            action="check the address, the credentials and the endpoint (AWS_ENDPOINT_URL of s3)",
        ) from error


def place_of(name: str) -> Place:
    """The place that a user names. Raises DeployBenchError for a kind of URL that is not known."""
    if name.startswith("git:"):
        from deploybench.archive.git_places import GitPlace

        return GitPlace(name)
    scheme, separator, rest = name.partition("://")
    if not separator:
        return LocalPlace(name, Path(name))
    if scheme == "file":
        return LocalPlace(name, Path(rest))
    if scheme not in STORES and scheme not in OTHER_URLS:
        raise DeployBenchError(
            f"{name} is no place that results are read from",
            expected=f"a path, git:REVISION:PATH, or a URL of "
            f"{', '.join(f'{kind}://' for kind in STORES)}",
        )
    fsspec = needed("fsspec")
    try:
        filesystem, root = fsspec.core.url_to_fs(name, use_listings_cache=False)
    except ImportError:
        package = STORES[scheme]
        raise DeployBenchError(
            f"{name} needs the package {package}, which is not installed",
            action=f"pip install {package}",
        ) from None
    return RemotePlace(name, filesystem, root, scheme)
