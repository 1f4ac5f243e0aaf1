"""What a workspace holds, and what of it may go.

Nothing here removes anything but :func:`remove`: the other functions say what is there, or what
would be removed and why.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from deploybench.artifacts.artifact import MANIFEST, Artifact
from deploybench.artifacts.naming import (
    artifacts_named,
    differences_of,
    newest_of_each,
    short_names,
)
from deploybench.artifacts.predicted import useless_predictions
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX, names_a_record, size_below
from deploybench.plurals import counted
from deploybench.untrusted import read_json

SCENARIOS = "scenarios"
UNTOUCHED_S = 60.0
"""What is younger may belong to a process that has just begun: an export takes its lock, and a run
writes its first record, within this time of making the folder."""
UNREADABLE = "unreadable"

Kind = Literal["run", "evaluation", "scenario"]
EVALUATED = "quality-"
"""How the names of records begin that are of images, not of the clock."""


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact of the workspace. ``size_bytes`` is all that its folder takes on the disk."""

    name: str
    artifact: Artifact
    size_bytes: int
    superseded: bool
    damage: str | None
    """The first file that is missing or has another size than the manifest says."""
    difference: str = ""
    """What the key in its name stands for, where it has one."""


@dataclass(frozen=True)
class StoredRun:
    """A run of the workspace: of the clock, of images, or of load scenarios.

    ``verdicts`` counts its cells by verdict; a record that does not read counts as ``unreadable``.
    """

    name: str
    path: Path
    kind: Kind
    created: str
    cells: int
    verdicts: dict[str, int]
    size_bytes: int


@dataclass(frozen=True)
class Removal:
    """Something that would be removed, and why."""

    name: str
    path: Path
    reason: str
    size_bytes: int


def stored_artifacts(workspace: Workspace) -> list[StoredArtifact]:
    """Every artifact that reads, oldest first."""
    artifacts = workspace.artifacts()
    newest = {artifact.path for artifact in newest_of_each(artifacts)}
    stored = []
    names, differences = short_names(artifacts), differences_of(artifacts)
    for name, difference, artifact in zip(names, differences, artifacts, strict=True):
        stored.append(
            StoredArtifact(
                name=name,
                artifact=artifact,
                size_bytes=size_on_disk(artifact.path),
                superseded=artifact.path not in newest,
                damage=_damage(artifact),
                difference=difference,
            )
        )
    return stored


def stored_runs(workspace: Workspace) -> list[StoredRun]:
    """Every run that has a record, oldest first; the records are looked into, not checked."""
    runs = [_stored_run(path, "run") for path in _run_folders(workspace.records_folder)]
    scenarios = _run_folders(workspace.root / SCENARIOS)
    runs += [_stored_run(path, "scenario") for path in scenarios]
    return sorted((run for run in runs if run.cells), key=lambda run: run.created)


def named_removals(workspace: Workspace, names: Sequence[str]) -> list[Removal]:
    """What the names mean: artifacts by path, short name or pattern; runs by name, pattern or path.

    With an artifact goes what evaluations predicted by it.

    Raises DeployBenchError for a name that means nothing, or something outside the workspace.
    """
    removals: dict[Path, Removal] = {}
    for name in names:
        for removal in _named(workspace, name):
            _check_inside(workspace, removal.path)
            removals.setdefault(removal.path.resolve(), removal)
    going = [removal.path for removal in removals.values()]
    predictions = useless_predictions(workspace, going, of_these_only=True)
    return [*removals.values(), *(_removal(path, reason) for path, reason in predictions)]


def prunable(
    workspace: Workspace,
    *,
    keep_last: int | None = None,
    older_than_s: float | None = None,
    now_s: float | None = None,
) -> list[Removal]:
    """What nobody needs: unreadable and superseded artifacts, predictions of artifacts that are
    gone, left-overs, runs without a record.

    Runs with records go only where it is asked for: those older than ``older_than_s``, those before
    the ``keep_last`` newest, or, with both, what is older and not among the newest.
    ``now_s`` is the time in seconds since the epoch, for tests.
    """
    if now_s is None:
        now_s = time.time()
    removals = _unreadable(workspace, now_s)
    removals += _superseded(workspace)
    predictions = useless_predictions(workspace, [removal.path for removal in removals])
    removals += [_removal(path, reason) for path, reason in predictions]
    removals += _left_over(workspace, now_s)
    removals += _old_runs(workspace, keep_last, older_than_s, now_s)
    return [removal for removal in removals if _is_inside(workspace, removal.path)]


def remove(workspace: Workspace, removals: Sequence[Removal]) -> int:
    """Remove them; the bytes that this freed.

    Each folder is given another name first, so that nobody finds half of one.
    Raises DeployBenchError for what is outside the workspace, before anything is removed.
    """
    for removal in removals:
        _check_inside(workspace, removal.path)
    freed = 0
    for removal in removals:
        try:
            _remove(removal.path)
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            raise DeployBenchError(
                f"{removal.path} could not be removed: {error.strerror}",
                action="check the permissions",
            ) from None
        freed += removal.size_bytes
        # A model's folder goes with its last artifact.
        if removal.path.parent.parent == workspace.artifacts_folder:
            with contextlib.suppress(OSError):
                removal.path.parent.rmdir()
    return freed


def size_on_disk(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    if not path.is_dir():
        return path.lstat().st_size
    return size_below(path)


def _stored_run(path: Path, kind: Kind) -> StoredRun:
    """What the records in that folder say; each is read only as far as a list needs it."""
    times = []
    verdicts: Counter[str] = Counter()
    records = [file for file in sorted(path.glob("*.json")) if names_a_record(file.name)]
    for record in records:
        # Records hold thousands of samples; checking them all would make a list take seconds.
        try:
            content = read_json(record)
            verdicts[str(content["judgement"]["verdict"])] += 1
            times.append(str(content["created"]))
        except (OSError, ValueError, KeyError, TypeError):
            verdicts[UNREADABLE] += 1
    if records and all(record.name.startswith(EVALUATED) for record in records):
        kind = "evaluation"
    created = _changed(path)
    if times:
        created = min(times)
    return StoredRun(
        name=path.name,
        path=path,
        kind=kind,
        created=created,
        cells=len(records),
        verdicts=dict(verdicts.most_common()),
        size_bytes=size_on_disk(path),
    )


def _run_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    """Whether it is what a process has not finished writing."""
    return path.name.startswith(".")


def _named(workspace: Workspace, name: str) -> list[Removal]:
    """What one name means: runs first, then folders that do not read, then artifacts."""
    runs = [*_run_folders(workspace.records_folder), *_run_folders(workspace.root / SCENARIOS)]
    matching = [run for run in runs if fnmatchcase(run.name, name)]
    if not matching:
        matching = _same_folder(name, runs)
    if matching:
        return [_removal(run, "named", run.name) for run in matching]
    unreadable = _same_folder(name, [folder for folder, _ in workspace.unreadable()])
    if unreadable:
        return [_removal(folder, "named, and unreadable") for folder in unreadable]
    if Path(name).exists():
        _check_inside(workspace, Path(name))
    artifacts = artifacts_named(name, workspace, superseded=True)
    return [_removal(artifact.path, "named") for artifact in artifacts]


def _same_folder(name: str, folders: Sequence[Path]) -> list[Path]:
    """The folder among these that the path leads to, if there is one."""
    path = Path(name)
    if not path.exists():
        return []
    return [folder for folder in folders if folder.samefile(path)]


def _unreadable(workspace: Workspace, now_s: float) -> list[Removal]:
    """Folders whose manifest does not read or is not there, and artifacts that lack a file."""
    removals = [_removal(folder, error.found) for folder, error in workspace.unreadable()]
    for folder in sorted(workspace.artifacts_folder.glob("[!.]*/[!.]*")):
        untouched = now_s - folder.stat().st_mtime > UNTOUCHED_S
        if folder.is_dir() and untouched and not (folder / MANIFEST).is_file():
            removals.append(_removal(folder, f"it has no {MANIFEST}"))
    for artifact in workspace.artifacts():
        damage = _damage(artifact)
        if damage is not None:
            removals.append(_removal(artifact.path, damage))
    return removals


def _superseded(workspace: Workspace) -> list[Removal]:
    """Whole artifacts in whose place a newer whole one stands."""
    whole = [artifact for artifact in workspace.artifacts() if _damage(artifact) is None]
    newest = {artifact.path for artifact in newest_of_each(whole)}
    return [
        _removal(artifact.path, "a newer one supersedes it")
        for artifact in whole
        if artifact.path not in newest
    ]


def _left_over(workspace: Workspace, now_s: float) -> list[Removal]:
    """Partial files and folders that no living process works in."""
    folders = [workspace.artifacts_folder, workspace.evaluations_folder]
    folders += [workspace.records_folder, *_run_folders(workspace.records_folder)]
    folders += [workspace.root / SCENARIOS, *_run_folders(workspace.root / SCENARIOS)]
    removals = []
    for folder in folders:
        for path in sorted(folder.glob(f"{STAGING_PREFIX}*")):
            untouched = now_s - path.lstat().st_mtime > UNTOUCHED_S
            if untouched and not _held(path):
                removals.append(_removal(path, "a process that ended left it behind"))
    return removals


def _old_runs(
    workspace: Workspace, keep_last: int | None, older_than_s: float | None, now_s: float
) -> list[Removal]:
    removals = []
    for folder in (workspace.records_folder, workspace.root / SCENARIOS):
        for run in _run_folders(folder):
            untouched = now_s - run.stat().st_mtime > UNTOUCHED_S
            if untouched and not any(run.rglob("*")):
                removals.append(_removal(run, "it is empty", run.name))
    if keep_last is None and older_than_s is None:
        return removals
    runs = stored_runs(workspace)  # oldest first
    first_kept = max(len(runs) - (keep_last or 0), 0)
    for stored in runs[:first_kept]:
        age_s = now_s - _seconds(stored.created, stored.path)
        if older_than_s is None:
            reason = f"it is not among the newest {keep_last}"
        elif age_s > older_than_s:
            reason = f"it is {counted(round(age_s / 86400), 'day')} old"
        else:
            continue
        removals.append(_removal(stored.path, reason, stored.name))
    return removals


def _removal(path: Path, reason: str, name: str | None = None) -> Removal:
    return Removal(name or f"{path.parent.name}/{path.name}", path, reason, size_on_disk(path))


def _damage(artifact: Artifact) -> str | None:
    """The first file that is missing or has another size; hashing all would take minutes."""
    for file in artifact.manifest.files:
        path = artifact.path / file.path
        if not path.is_file():
            return f"{file.path} is missing"
        if path.stat().st_size != file.size_bytes:
            return f"{file.path} has {path.stat().st_size} bytes instead of {file.size_bytes}"
    return None


def _held(path: Path) -> bool:
    """Whether a living process works in a staging folder: it holds the folder's lock."""
    if not path.is_dir():
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_inside(workspace: Workspace, path: Path) -> bool:
    """Whether the path is something below one of the workspace's folders, and no link elsewhere."""
    folders = [
        workspace.artifacts_folder,
        workspace.records_folder,
        workspace.evaluations_folder,
        workspace.root / SCENARIOS,
    ]
    real = path.resolve()
    return not path.is_symlink() and any(folder.resolve() in real.parents for folder in folders)


def _check_inside(workspace: Workspace, path: Path) -> None:
    if not _is_inside(workspace, path):
        raise DeployBenchError(
            f"{path} is not in the workspace {workspace.root}",
            expected="an artifact or a run of the workspace",
            action="name its workspace with --workspace FOLDER, or remove it by hand",
        )


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
        return
    if path.name.startswith(STAGING_PREFIX):
        shutil.rmtree(path)
        return
    # In the same folder, under a name that nobody takes for an artifact or a run.
    aside = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=path.parent))
    try:
        path.rename(aside / path.name)
    finally:
        shutil.rmtree(aside)


def _changed(path: Path) -> str:
    """When a folder last changed, in UTC as ISO 8601."""
    changed = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc)
    return changed.isoformat(timespec="milliseconds")


def _seconds(created: str, path: Path) -> float:
    """A record's time in seconds since the epoch; the folder's where it is no time."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return path.stat().st_mtime
