"""The predictions that evaluations left in a workspace, and of which artifacts they are.

Each evaluation has a folder of its own below ``evaluations/`` (:mod:`deploybench.evaluate.journal`
writes it). It is of use as long as there is the artifact that was evaluated: the next evaluation of
the same images goes on from it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_json

IDENTITY, LOCK = "evaluation.json", ".lock"
ARTIFACT, FILES, LIES_AT = "artifact", "files", "lies at"
"""Of the identity: the artifact's key, the hash of its files, and its folder, which decides
nothing."""
YOUNG_S = 60.0
"""A process makes the folder a moment before it takes its lock."""


@dataclass(frozen=True)
class StoredPredictions:
    """The predictions of one evaluation. ``key`` and ``files`` tell the artifact; ``files`` is None
    in what an earlier version wrote and no later one reads, ``key`` None where that does not
    read."""

    path: Path
    key: str | None
    files: str | None
    lies_at: Path | None

    def of(self, artifact: Artifact) -> bool:
        """Whether they are of that artifact, with the files that it has now."""
        manifest = artifact.manifest
        return (self.key, self.files) == (manifest.key, manifest.content_sha256)

    def why_useless(self, artifacts: Collection[Artifact], going: Collection[Path] = ()) -> str:
        """Why nothing will go on from them where these artifacts stay and the folders ``going`` are
        removed; empty where an evaluation may."""
        if self.key is None:
            return f"its {IDENTITY} does not read"
        if self.files is None:
            return "an earlier version's, which no evaluation goes on from"
        if any(self.of(artifact) for artifact in artifacts) or self._lies_elsewhere(going):
            return ""
        if all(artifact.manifest.key != self.key for artifact in artifacts):
            return "predictions of an artifact that is gone"
        return "predictions of an artifact that was exported anew since"

    def _lies_elsewhere(self, going: Collection[Path]) -> bool:
        """Whether the artifact, which may be none of the workspace, is still where it was."""
        if self.lies_at is None or self.lies_at in going:
            return False
        try:
            return self.of(open_artifact(self.lies_at))
        except DeployBenchError:
            return False


def stored_predictions(workspace: Workspace) -> list[StoredPredictions]:
    """All of a workspace, but those that a living process writes."""
    folders = sorted(workspace.evaluations_folder.glob("[!.]*"))
    return [_read(folder) for folder in folders if folder.is_dir() and not _in_use(folder)]


def useless_predictions(
    workspace: Workspace, going: Collection[Path], *, of_these_only: bool = False
) -> list[tuple[Path, str]]:
    """Those from which nothing goes on once the folders ``going`` are removed, and why.

    ``of_these_only`` leaves alone what is of no artifact in these folders.
    """
    folders = {folder.resolve() for folder in going}
    artifacts = workspace.artifacts()
    leaving = [artifact for artifact in artifacts if artifact.path.resolve() in folders]
    staying = [artifact for artifact in artifacts if artifact.path.resolve() not in folders]
    found = []
    for stored in stored_predictions(workspace):
        if of_these_only and not any(stored.of(artifact) for artifact in leaving):
            continue
        reason = stored.why_useless(staying, folders)
        if reason:
            found.append((stored.path, reason))
    return found


def _read(folder: Path) -> StoredPredictions:
    try:
        content = read_json(folder / IDENTITY)
        lies_at = content.get(LIES_AT)
        return StoredPredictions(
            path=folder,
            key=str(content[ARTIFACT]),
            files=content.get(FILES),
            lies_at=None if lies_at is None else Path(lies_at),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return StoredPredictions(folder, None, None, None)


def _in_use(folder: Path) -> bool:
    """Whether a living process writes there: it holds the lock, or has just made the folder."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime < YOUNG_S
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
