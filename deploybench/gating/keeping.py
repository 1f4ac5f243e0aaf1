"""Keeps the records of a run, and the artifacts that they are of, as a baseline: in a folder or in
an object store.

Below the place lie ``RUN/*.json`` and ``artifacts/MODEL/ARTIFACT/``. The records of several runs
of a cell stay, as they tell by how much whole runs shift; the artifacts are those that any of the
records names.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploybench.analysis.matching import hardware
from deploybench.archive.places import MOST_BYTES, LocalPlace, Place, place_of
from deploybench.artifacts.artifact import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    SIGNATURE,
    Artifact,
    Manifest,
    open_artifact,
    whole_artifact,
)
from deploybench.artifacts.contents import check_names
from deploybench.artifacts.naming import KEY_DIGITS
from deploybench.artifacts.workspace import artifact_name, open_workspace
from deploybench.documents import read_document
from deploybench.errors import DeployBenchError
from deploybench.gating.sides import ARTIFACTS
from deploybench.results.record import Record
from deploybench.results.store import record_in, record_name
from deploybench.untrusted import read_bytes

RECORDS = "records"
"""Of a workspace: where its runs lie."""
RUN_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
"""What runs are called. Of records, only those in the folder of a run are ever taken away."""
RUNS_KEPT = 8
"""Of each cell. Their records tell the shift of whole runs about as well as more would."""


@dataclass(frozen=True)
class Kept:
    """What lies there now that did not before, and the runs that are gone for it.

    ``without_artifact`` counts records whose artifact is not at hand, ``too_large`` those whose
    artifact has a file that no place would hand out again. ``runs_removed`` are those of which no
    record is left.
    """

    records: int
    artifacts: int
    without_artifact: int
    too_large: int
    records_removed: int
    runs_removed: tuple[str, ...]


@dataclass(frozen=True)
class Lying:
    """A record at a place: in the folder of which run, of which cell (None where it does not read),
    and how the key of its artifact begins."""

    path: str
    run: str
    cell: tuple[object, ...] | None
    key: str


def keep_baseline(
    records: Sequence[Record],
    place: Place,
    workspace: Path | None,
    *,
    runs: int = RUNS_KEPT,
    with_artifacts: bool = True,
) -> Kept:
    """Write the records, and the artifacts that they are of, to the place; then take those away
    whose cell has ``runs`` newer runs there.

    Whoever reads meanwhile finds the old baseline or the new one: artifacts come before the
    records that name them, and go after these. An artifact that was exported again under its key is
    not there while it is replaced; who had begun to read the old one is refused, by its hashes.
    Raises DeployBenchError for records without any
    number, for a pack, for a workspace, and where the place cannot be written.
    """
    if place.is_pack:
        raise DeployBenchError(
            f"{place.name} is a pack",
            expected="a folder or a URL of plain records",
            action="choose another place; deploybench results pack adds to a pack",
        )
    if all(record.summary is None and record.quality is None for record in records):
        raise DeployBenchError(
            "none of the records has a number: nothing could be held against them",
            action="deploybench run; its table says what each cell lacks",
        )
    _refuse_workspace(place, workspace)
    paths = [_path_of(record) for record in records]
    artifacts, without = _artifacts_of(records, workspace) if with_artifacts else ({}, 0)
    # Told before anything is written: the records of a large model are a baseline all the same.
    fitting = {key: artifact for key, artifact in artifacts.items() if _fits(artifact)}
    too_large = artifacts.keys() - fitting.keys()
    there = set(place.files(ARTIFACTS))
    new_artifacts = sum(_write_artifact(artifact, place, there) for artifact in fitting.values())
    for path, record in zip(paths, records, strict=True):
        place.write(path, record.sealed().model_dump_json(indent=1).encode())
    lying = _records_of_runs(place)
    removed = _old_records(lying, runs, {record.run for record in records})
    for one in removed:
        place.remove(one.path)
    left = [one for one in lying if one not in removed]
    if with_artifacts:
        _remove_other_artifacts(place, {one.key for one in left})
    gone = {one.run for one in removed} - {one.run for one in left}
    return Kept(
        records=len(records),
        artifacts=new_artifacts,
        without_artifact=without,
        too_large=sum(record.cell.artifact_key in too_large for record in records),
        records_removed=len(removed),
        runs_removed=tuple(sorted(gone)),
    )


def _path_of(record: Record) -> str:
    """Where the record belongs below a place. Raises DeployBenchError for a run that is no folder's
    name: a record may come from anywhere."""
    path = f"{record.run}/{record_name(record)}"
    plain = PurePosixPath(path).parts == (record.run, record_name(record))
    if not plain or record.run in ("..", ARTIFACTS) or "\\" in path or "\0" in path:
        raise DeployBenchError(
            f"a record names {record.run!r} as its run",
            expected="the name of a run, which becomes that of a folder: 20261126-182358-3b0b",
            action="do not trust this record: it was not made by deploybench run",
        )
    return path


def _artifacts_of(
    records: Iterable[Record], workspace: Path | None
) -> tuple[dict[str, Artifact], int]:
    """The artifacts of the records by their keys; and of how many records it is not at hand."""
    at_hand = {one.manifest.key: one for one in open_workspace(workspace).artifacts()}
    found: dict[str, Artifact] = {}
    without = 0
    for record in records:
        key = record.cell.artifact_key or ""
        artifact = at_hand.get(key)
        if artifact is None and record.cell.artifact is not None:
            with contextlib.suppress(DeployBenchError):
                named = open_artifact(Path(record.cell.artifact))
                artifact = named if named.manifest.key == key else None
        if artifact is None or not _is_whole(artifact):
            without += 1
        else:
            found[key] = artifact
    return found, without


def _is_whole(artifact: Artifact) -> bool:
    try:
        return whole_artifact(artifact.path) is not None
    except OSError:  # a file that this user may not read
        return False


def _fits(artifact: Artifact) -> bool:
    return all(file.size_bytes <= MOST_BYTES for file in artifact.manifest.files)


def _write_artifact(artifact: Artifact, place: Place, there: set[str]) -> bool:
    """Write an artifact, its manifest last: without that it is none. Whether it was new there.

    One of the same key that was exported before loses its manifest first, so that no manifest ever
    stands beside files of another export; what only that one had goes, too.
    """
    below = f"{ARTIFACTS}/{artifact_name(artifact.manifest)}"
    path = f"{below}/{MANIFEST}"
    manifest = _content(artifact.path / MANIFEST)
    listed = {file.path for file in artifact.manifest.files}
    if path in there:
        if place.read(path) == manifest:
            return False
        before = _manifest_at(place, path)
        place.remove(path)
        for file in () if before is None else before.files:
            if file.path not in listed and f"{below}/{file.path}" in there:
                place.remove(f"{below}/{file.path}")
    for file in artifact.manifest.files:
        place.write(f"{below}/{file.path}", _content(artifact.path / file.path))
    place.write(path, manifest)
    return True


def _content(path: Path) -> bytes:
    try:
        return read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise DeployBenchError(
            f"{path} could not be read: {error.strerror}",
            expected=f"a file of at most {MOST_BYTES >> 20} MiB",
            action="deploybench results keep --no-artifacts keeps the records alone",
        ) from error


def _old_records(lying: Sequence[Lying], runs: int, written: Collection[str]) -> list[Lying]:
    """The records whose cell has ``runs`` newer runs, but for those of the runs ``written`` just
    now. Names of runs sort by time."""
    runs_of_cell: dict[object, set[str]] = {}
    for one in lying:
        runs_of_cell.setdefault(one.cell, set()).add(one.run)
    old = []
    for one in lying:
        newer = sum(run > one.run for run in runs_of_cell[one.cell])
        # What does not read is of no cell that is known: it may be anybody's, and stays.
        if one.cell is not None and newer >= runs and one.run not in written:
            old.append(one)
    return old


def _records_of_runs(place: Place) -> list[Lying]:
    """Every JSON document in the folder of a run."""
    paths = [path for path in place.json_files() if _is_of_a_run(path)]
    return [_lying(place, path) for path in paths]


def _is_of_a_run(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return len(parts) == 2 and RUN_NAME.fullmatch(parts[0]) is not None


def _lying(place: Place, path: str) -> Lying:
    run = PurePosixPath(path).parts[0]
    try:
        record = record_in(place.read(path), place.address(path))
    except DeployBenchError:
        # An older or a newer version's, say. Its name tells its artifact.
        return Lying(path, run, None, PurePosixPath(path).stem.rpartition("-")[2])
    # Records of other machines and other work are other cells: one never pushes another one out.
    cell = (record.measures, record.profile, hardware(record), record.cell.identity)
    return Lying(path, run, cell, (record.cell.artifact_key or "")[:KEY_DIGITS])


def _remove_other_artifacts(place: Place, named: Collection[str]) -> None:
    """Take away the artifacts that no record names any more, and nothing else. ``named`` are the
    keys of records that were read already.

    An artifact is what a sealed manifest says it is, at the path that belongs to it; the files that
    the manifest lists go, and no other, whoever's they are. One that is signed was made or trusted
    there: a baseline's never are.
    """
    there = set(place.files(ARTIFACTS))
    others = {}
    for path in sorted(there):
        manifest = _manifest_at(place, path)
        signed = str(PurePosixPath(path).with_name(SIGNATURE)) in there
        if manifest is not None and not signed and manifest.key[:KEY_DIGITS] not in named:
            others[path] = manifest
    if not others:
        return
    # Records that somebody put there by hand are only read where it matters: in a bucket there may
    # be thousands of other documents.
    named = {_lying(place, path).key for path in place.json_files()}
    for path, manifest in others.items():
        if manifest.key[:KEY_DIGITS] in named:
            continue
        # The manifest first: what is left half way is no artifact, and never a broken one.
        folder = PurePosixPath(path).parent
        for gone in (path, *(f"{folder}/{file.path}" for file in manifest.files)):
            if gone in there:
                place.remove(gone)


def _manifest_at(place: Place, path: str) -> Manifest | None:
    """The manifest of an artifact that lies where a baseline has it; None for any other file."""
    parts = PurePosixPath(path).parts
    # artifacts/MODEL/BACKEND-PRECISION-BATCH-KEY/manifest.json
    if len(parts) != 4 or parts[3] != MANIFEST:
        return None
    try:
        content = place.read(path)
        if len(content) > MOST_MANIFEST_BYTES:
            return None
        manifest = read_document(
            Manifest, content, origin=path, what="a manifest", expected="one", action=""
        )
        check_names([file.path for file in manifest.files], (MANIFEST,), origin=path)
    except DeployBenchError:
        return None
    if not manifest.intact or str(artifact_name(manifest)) != "/".join(parts[1:3]):
        return None
    return manifest


def _refuse_workspace(place: Place, workspace: Path | None) -> None:
    """Raise DeployBenchError for a workspace, and for where one has its records: there the oldest
    runs and what they were measured on are the user's own, and no older baseline."""
    own = open_workspace(workspace).root.resolve()
    above: Place | None = None
    is_one = False
    if isinstance(place, LocalPlace):
        folder = place.path.resolve()
        # One that was only exported into has no runs yet, but both folders.
        has_both = (folder / RECORDS).is_dir() and (folder / ARTIFACTS).is_dir()
        is_one = has_both or folder in (own, own / RECORDS)
        if folder.name == RECORDS:
            above = LocalPlace(str(folder.parent), folder.parent)
    else:
        parent, _, last = place.name.rstrip("/").rpartition("/")
        if last == RECORDS and not parent.endswith("/"):
            above = place_of(parent)
    has_runs = any(_is_of_a_run(path.removeprefix(f"{RECORDS}/")) for path in place.files(RECORDS))
    beside_artifacts = above is not None and any(
        _manifest_at(above, path) for path in above.files(ARTIFACTS)
    )
    if is_one or has_runs or beside_artifacts:
        raise DeployBenchError(
            f"{place.name} is a workspace, or where one has its records",
            expected="a place for the baseline alone, from which old runs may be taken away",
            action="choose another place: deploybench results keep baseline",
        )
