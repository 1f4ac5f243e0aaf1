"""One side of a comparison by the name that a user gives it: a run of the workspace, a folder, a
record, a pack, a URL of an object store, or a revision of a git repository.

The artifacts of a side that lies elsewhere are fetched into the workspace when they are to be
measured again; each once, into a folder for that address alone: exports of one key need not have
the same files, and what another gate fetched is not this side's.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploybench.archive.places import MARKER, Place, place_of
from deploybench.artifacts.artifact import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    Artifact,
    Manifest,
    open_artifact,
    whole_artifact,
)
from deploybench.artifacts.naming import KEY_DIGITS
from deploybench.artifacts.workspace import (
    MEASURED_AGAIN,
    Workspace,
    open_workspace,
    publish,
)
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.results.store import read_records
from deploybench.untrusted import read_bytes

ARTIFACTS = "artifacts"
"""Below a place: the artifacts of its records, laid out as in a workspace."""
FETCHED = "fetched"
"""Below the folder of what is measured again: the artifacts of each address."""
GIT = "git:"


@dataclass(frozen=True)
class Side:
    """The records of one side. ``place`` is where they lie, None for a folder of this machine."""

    records: list[Record]
    folder: Path | None = None
    place: Place | None = None

    def artifacts_beside(
        self, workspace: Path | None, without: Sequence[Record] = ()
    ) -> list[Artifact]:
        """The artifacts that lie beside these records; those of the workspace are not among them.

        Of a side that lies elsewhere they are fetched, but for those that are not wanted as they
        are also these other records'. Raises DeployBenchError for an artifact that is not whole.
        """
        if self.place is None:
            return [] if self.folder is None else _artifacts_below(self.folder / ARTIFACTS)
        shared = {record.cell.artifact_key for record in without}
        wanted = {record.cell.artifact_key or "" for record in self.records} - shared - {""}
        if not wanted:
            return []
        address = hashlib.sha256(self.place.address("").encode()).hexdigest()[:KEY_DIGITS]
        root = open_workspace(workspace).root / MEASURED_AGAIN / FETCHED / address
        return fetch_artifacts(self.place, wanted, Workspace(root))


def side_of(name: str, workspace: Path | None) -> Side:
    """The side of that name; a run of the workspace goes before a folder of the same name.

    Raises NoRecordsError where there is nothing, DeployBenchError for what does not read.
    """
    folder = folder_of(name, workspace)
    if is_elsewhere(name):
        place = place_of(name)
    elif (folder / MARKER).is_file():
        place = place_of(str(folder))
    else:
        return Side(read_records(folder), folder=folder)
    # Packs are read by more libraries than a folder, whose reader must not wait for their import.
    from deploybench.archive.records import records_at

    return Side(records_at(place), place=place)


def is_elsewhere(name: str) -> bool:
    """Whether the name is an address: of an object store, or of a revision."""
    return name.startswith(GIT) or "://" in name


def folder_of(name: str, workspace: Path | None) -> Path:
    """The folder of the run of that name, else the folder or file itself."""
    run = open_workspace(workspace).records_folder / name
    if run.exists():
        return run
    return Path(name)


def _artifacts_below(folder: Path) -> list[Artifact]:
    found = []
    for manifest in sorted(folder.glob(f"*/*/{MANIFEST}")):
        with contextlib.suppress(DeployBenchError):
            found.append(open_artifact(manifest.parent))
    return found


def fetch_artifacts(place: Place, keys: Collection[str], target: Workspace) -> list[Artifact]:
    """Bring the artifacts with these keys from below ``artifacts/`` of a place; those that are
    there. What else lies in ``target`` from earlier is none of them.

    An artifact is published whole, and only where every file is what its manifest says; what was
    not made here stays unsigned, so that its code runs only with consent. Raises DeployBenchError
    for one that is not whole.
    """
    beginnings = {key[:KEY_DIGITS]: key for key in keys}
    fetched = []
    for path in place.files(ARTIFACTS):
        parts = PurePosixPath(path).parts
        # artifacts/MODEL/BACKEND-PRECISION-BATCH-KEY/manifest.json
        if len(parts) != 4 or parts[3] != MANIFEST or ".." in parts or path != "/".join(parts):
            continue
        key = beginnings.get(parts[2].rpartition("-")[2])
        if key is not None:
            target.prepare()
            destination = _fetch(place, str(PurePosixPath(path).parent), key, target)
            if destination is not None:
                fetched.append(open_artifact(destination))
    return fetched


def _fetch(place: Place, folder: str, key: str, target: Workspace) -> Path | None:
    """Where the artifact lies now; None for one of another key."""
    with target.staging() as staging:
        # The manifest first: it says, under its seal, which files there are and how large they are.
        content = place.read(f"{folder}/{MANIFEST}")
        if len(content) > MOST_MANIFEST_BYTES:
            raise DeployBenchError(f"{place.address(folder)} has a manifest that is too large")
        (staging / MANIFEST).write_bytes(content)
        try:
            manifest: Manifest = open_artifact(staging).manifest
            destination = target.artifact_folder(
                manifest.model.name,
                manifest.backend,
                manifest.precision,
                manifest.batch,
                manifest.key,
            )
            if manifest.key != key:
                return None
            if _is_there(destination, content):
                return destination
            for file in manifest.files:
                path = staging / file.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(place.read(f"{folder}/{file.path}"))
            open_artifact(staging).check_files()
        except DeployBenchError as error:
            # The words are about the staging folder, which is gone when they are read.
            raise DeployBenchError(
                error.found.replace(str(staging), place.address(folder)),
                expected=error.expected,
                action="take the artifact away there, and keep the baseline again: deploybench "
                "results keep",
            ) from error
        publish(staging, destination, made_here=False)
        return destination


def _is_there(artifact: Path, manifest: bytes) -> bool:
    """Whether it was fetched before: the manifest names every file's hash."""
    try:
        return read_bytes(artifact / MANIFEST) == manifest and bool(whole_artifact(artifact))
    except OSError:
        return False
