"""Keeps the records of a run, and the artifacts that they are of, as a baseline: in a folder or in
an object store.

Below the place lie ``RUN/*.json`` and ``artifacts/MODEL/ARTIFACT/``. The records of several runs
stay, as they tell by how much whole runs shift; the artifacts are those of each cell's newest
record.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploybench.archive.places import Place
from deploybench.artifacts.artifact import MANIFEST, Artifact, open_artifact, whole_artifact
from deploybench.artifacts.workspace import artifact_name, open_workspace
from deploybench.errors import DeployBenchError
from deploybench.gating.sides import ARTIFACTS
from deploybench.results.record import Record
from deploybench.results.store import record_name
from deploybench.untrusted import read_bytes

RUN_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
"""What runs are called. Nothing else below a baseline is ever taken away."""
RUNS_KEPT = 8
"""Their records tell the shift of whole runs about as well as more would."""
MOST_BYTES = 1 << 30
"""Of one file of an artifact: as much as places hand out again."""


@dataclass(frozen=True)
class Kept:
    """What lies there now that did not before, and the runs that are gone for it.

    ``without_artifact`` counts records whose artifact is not at hand.
    """

    records: int
    artifacts: int
    without_artifact: int
    runs_removed: tuple[str, ...]


def keep_baseline(
    records: Sequence[Record],
    place: Place,
    workspace: Path | None,
    *,
    runs: int = RUNS_KEPT,
    with_artifacts: bool = True,
) -> Kept:
    """Write the records, and the artifacts that they are of, to the place; then take the oldest
    runs away, so that ``runs`` of them are left.

    Whoever reads meanwhile finds the old baseline or the new one: artifacts come before the
    records that name them, and go after these. Raises DeployBenchError for records without any
    number, for a pack, and where the place cannot be written.
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
    artifacts, without = _artifacts_of(records, workspace) if with_artifacts else ([], 0)
    there = set(place.files(ARTIFACTS))
    new_artifacts = sum(_write_artifact(artifact, place, there) for artifact in artifacts)
    for record in records:
        name = record_name(record)
        place.write(f"{record.run}/{name}", record.sealed().model_dump_json(indent=1).encode())
    removed = _remove_old_runs(place, runs)
    if with_artifacts:
        _remove_other_artifacts(place)
    return Kept(len(records), new_artifacts, without, removed)


def _artifacts_of(records: Iterable[Record], workspace: Path | None) -> tuple[list[Artifact], int]:
    """The artifacts of the records, each once; and of how many records it is not at hand."""
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
        if artifact is None or whole_artifact(artifact.path) is None:
            without += 1
        else:
            found[key] = artifact
    return list(found.values()), without


def _write_artifact(artifact: Artifact, place: Place, there: set[str]) -> bool:
    """Write an artifact, its manifest last: without that it is none. Whether it was new there."""
    below = f"{ARTIFACTS}/{artifact_name(artifact.manifest)}"
    manifest = read_bytes(artifact.path / MANIFEST)
    if f"{below}/{MANIFEST}" in there:
        before = hashlib.sha256(place.read(f"{below}/{MANIFEST}"))
        if before.digest() == hashlib.sha256(manifest).digest():
            return False
    for file in artifact.manifest.files:
        content = read_bytes(artifact.path / file.path, MOST_BYTES)
        place.write(f"{below}/{file.path}", content)
    place.write(f"{below}/{MANIFEST}", manifest)
    return True


def _remove_old_runs(place: Place, runs: int) -> tuple[str, ...]:
    """Take all but the newest runs away; their names, which sort by time."""
    by_run: dict[str, list[str]] = {}
    for path in place.json_files():
        parts = PurePosixPath(path).parts
        if len(parts) == 2 and RUN_NAME.fullmatch(parts[0]):
            by_run.setdefault(parts[0], []).append(path)
    old = sorted(by_run)[:-runs]
    for run in old:
        for path in by_run[run]:
            place.remove(path)
    return tuple(old)


def _remove_other_artifacts(place: Place) -> None:
    """Take away what no newest record of a cell was measured on."""
    # A record is called after its cell, and last after the artifact's key.
    keys: dict[str, str] = {}
    for path in sorted(place.json_files()):
        cell, _, key = PurePosixPath(path).stem.rpartition("-")
        keys[cell] = key
    found = [path for path in place.files(ARTIFACTS) if len(PurePosixPath(path).parts) >= 4]
    others = [
        path
        for path in found
        if PurePosixPath(path).parts[2].rpartition("-")[2] not in keys.values()
    ]
    # Manifests first: what is left half way is no artifact, and never a broken one.
    for path in sorted(others, key=lambda path: PurePosixPath(path).name != MANIFEST):
        place.remove(path)
