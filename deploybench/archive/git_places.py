"""Results that are committed: the files of one revision of a git repository, read from git itself.

``git:REVISION:PATH`` is what git calls ``REVISION:PATH``: ``git:origin/main:speed``. Without a
revision (``git::speed``) it is what is staged for the next commit. PATH begins at the top of the
repository that the current folder is in. What lies in the working tree has no part in it, so
nobody changes a baseline by the change that it is to judge.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from deploybench.archive.places import MOST_BYTES, Place, is_result
from deploybench.errors import DeployBenchError
from deploybench.results.store import NoRecordsError

PREFIX = "git:"
PLAIN_FILES = ("100644", "100755")
"""Modes of git. Links and other repositories have another one, and are no part of the results."""
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
"""What stands in place of a file that Git LFS keeps, where that is not installed."""


class GitPlace(Place):
    """A folder or a file of a revision, or of what is staged."""

    def __init__(self, name: str) -> None:
        self.name = name
        revision, separator, path = name.removeprefix(PREFIX).partition(":")
        parts = PurePosixPath(path).parts
        if not separator or revision.startswith("-") or path.startswith("/") or ".." in parts:
            raise DeployBenchError(
                f"{name} is no place in a git repository",
                expected="git:REVISION:PATH, as in git:origin/main:speed; git::PATH is what is "
                "staged",
            )
        self.revision = revision
        self.path = str(PurePosixPath(path)) if parts else ""

    @cached_property
    def _blobs(self) -> Mapping[str, str]:
        """The name of each file's content by its path, which is relative to the place."""
        staged = not self.revision
        only_file = self._staged_file() if staged else None
        if only_file is not None:
            return {PurePosixPath(self.path).name: only_file}
        tree = self._staged_tree() if staged else self._committed_tree()
        if tree is None:
            return {}
        if self._git("cat-file", "-t", tree).strip() == b"blob":
            return {PurePosixPath(self.path).name: tree}
        blobs = {}
        for line in self._git("ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0"):
            about, _, path = line.partition(b"\t")
            if about.decode().partition(" ")[0] in PLAIN_FILES:
                blobs[path.decode("utf-8", "surrogateescape")] = about.decode().split()[2]
        return blobs

    def _committed_tree(self) -> str | None:
        """What the path is in the revision; None where the revision has no such path."""
        commit = self._tried("rev-parse", "--verify", "--quiet", f"{self.revision}^{{commit}}")
        if commit is None:
            # Before the first commit HEAD is nothing, which is no mistake of who asks.
            if self.revision == "HEAD":
                return None
            raise DeployBenchError(
                f"{self.name}: git knows no commit {self.revision} here",
                expected="a branch, a tag or a commit of this clone",
                action="git fetch brings it; of actions/checkout with fetch-depth: 0",
            )
        found = self._tried("rev-parse", "--verify", "--quiet", f"{commit}:{self.path}")
        return found or None

    def _staged_file(self) -> str | None:
        """The content of the one file that is staged as the path; None for a folder or nothing."""
        if not self.path:
            return None
        listed = self._git(
            "ls-files", "-s", "-z", "--full-name", "--", f":(top,literal){self.path}"
        )
        for line in listed.split(b"\0"):
            about, _, path = line.partition(b"\t")
            if path.decode("utf-8", "surrogateescape") != self.path:
                continue
            mode, blob, stage = about.decode().split()
            # Of a file that is being merged there are several, and none is what will be committed.
            if mode in PLAIN_FILES and stage == "0":
                return blob
            raise DeployBenchError(
                f"{self.name} is no plain file that is staged: a link, another repository, or "
                "being merged",
                expected="a folder or a file that the next commit will hold",
            )
        return None

    def _staged_tree(self) -> str | None:
        """The tree of what is staged below the path; None where nothing is."""
        above = [] if not self.path else [f"--prefix={self.path}/"]
        if self.path and not self._git("ls-files", "-z", "--", f":(top,literal){self.path}"):
            return None
        return self._git("write-tree", *above).decode().strip()

    def _tried(self, *arguments: str) -> str | None:
        """What git answers, or None where it says no."""
        done = self._run(arguments)
        if done.returncode == 1:
            return None
        if done.returncode:
            raise self._refusal(done)
        return done.stdout.decode().strip()

    def _git(self, *arguments: str) -> bytes:
        done = self._run(arguments)
        if done.returncode:
            raise self._refusal(done)
        return done.stdout

    def _run(self, arguments: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(["git", *arguments], capture_output=True, check=False)
        except OSError as error:
            raise DeployBenchError(
                f"{self.name} is read by git, which could not be started: {error.strerror}",
                action="install git",
            ) from None

    def _refusal(self, done: subprocess.CompletedProcess[bytes]) -> DeployBenchError:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return DeployBenchError(
            f"{self.name} could not be read: git says: {words[0]}",
            expected="a path in the git repository that the current folder is in",
        )

    def json_files(self) -> list[str]:
        kept = [path for path in sorted(self._blobs) if is_result(path)]
        if not kept and not self.is_pack:
            raise NoRecordsError(
                f"there are no results at {self.name}",
                expected="records that are committed there",
                action="deploybench results keep FOLDER, then git add and git commit",
            )
        return kept

    def files(self, folder: str) -> list[str]:
        return [path for path in sorted(self._blobs) if path.startswith(f"{folder}/")]

    def read(self, path: str) -> bytes:
        if path not in self._blobs:
            raise DeployBenchError(f"{self.name} has no file {path}")
        blob = self._blobs[path]
        size = int(self._git("cat-file", "-s", blob))
        if size > MOST_BYTES:
            raise DeployBenchError(
                f"{self.address(path)} could not be read: it is too large",
                expected=f"a file of at most {MOST_BYTES >> 20} MiB",
            )
        content = self._git("cat-file", "blob", blob)
        if content.startswith(LFS_POINTER):
            # Only here with the filters of the repository, of which one is Git LFS: others, and
            # ends of lines, are up to the working tree, and would change what was committed.
            whole = str(PurePosixPath(self.path) / path)
            if list(self._blobs) == [PurePosixPath(self.path).name]:
                whole = self.path  # the place is that one file
            content = self._git("cat-file", "--filters", f"--path={whole}", blob)
        if content.startswith(LFS_POINTER):
            raise DeployBenchError(
                f"{self.address(path)} is a pointer of Git LFS, not the file",
                action="git lfs install, and git lfs fetch",
            )
        return content

    def write(self, path: str, content: bytes) -> None:
        raise self._read_only()

    def remove(self, path: str) -> None:
        raise self._read_only()

    def _read_only(self) -> DeployBenchError:
        return DeployBenchError(
            f"{self.name} is only read: git writes what is committed",
            expected="a folder or a URL",
            action="write to the folder itself, then git add and git commit",
        )

    def parts(self, folder: str) -> list[str]:
        raise DeployBenchError(
            f"{self.name} is a pack in a git repository",
            expected="plain records there: DuckDB reads packs from a disk or an object store",
            action="deploybench results unpack gives the records of a pack back",
        )

    def address(self, path: str) -> str:
        return f"{self.name.rstrip('/')}/{path}"

    def exists(self, path: str) -> bool:
        return path in self._blobs
