"""Packs: artifacts in one file, to carry to a target host. A pack is a ZIP archive without compression (weights do not
shrink) whose entries are MODEL/ARTIFACT/FILE. Everything in it is checked against the manifests' seals and hashes
before anything becomes an artifact of the workspace; nothing in it is executed.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from deploybench.artifact import MANIFEST, Artifact, open_artifact
from deploybench.errors import DeployBenchError
from deploybench.workspace import STAGING_PREFIX, Workspace, publish, slug

SUFFIX = ".dbpack"
DEPTH = 3
"""Parts of an entry's name at least: model, artifact, file."""


def write_pack(artifacts: Sequence[Artifact], path: Path) -> None:
    """Write the artifacts into ``path``, whole or not at all. Each is checked first."""
    for artifact in artifacts:
        artifact.check_files()
    partial = path.with_name(f"{STAGING_PREFIX}{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for artifact in artifacts:
                folder = f"{slug(artifact.manifest.model.name)}/{artifact.path.name}"
                for name in (MANIFEST, *(file.path for file in artifact.manifest.files)):
                    archive.write(artifact.path / name, f"{folder}/{name}")
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DeployBenchError(
            f"{path} could not be written: {error.strerror}", action="free some space, or choose another --out"
        ) from error


def read_pack(path: Path, workspace: Workspace) -> list[Artifact]:
    """Put the artifacts of a pack into the workspace; those that are there already stay as they are.

    Raises DeployBenchError when the file is no pack, or when anything in it is damaged or was changed: then nothing
    of the artifact concerned is kept.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            folders = _folders(archive, path)
            return [_take(archive, folder, names, workspace) for folder, names in folders.items()]
    except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise DeployBenchError(
            f"{path} cannot be read as a pack: {error}",
            expected=f"a {SUFFIX} file that deploybench pack wrote",
            action="copy it again, and compare its size",
        ) from None


def _folders(archive: zipfile.ZipFile, path: Path) -> dict[str, list[str]]:
    """The files of each artifact. Refuses names that lead out of the workspace."""
    folders: dict[str, list[str]] = {}
    for name in archive.namelist():
        parts = PurePosixPath(name).parts
        if len(parts) < DEPTH or name.startswith("/") or "\\" in name or ".." in parts or name.endswith("/"):
            raise DeployBenchError(
                f"{path} holds '{name}'", expected="MODEL/ARTIFACT/FILE", action="do not use this file"
            )
        folders.setdefault("/".join(parts[:2]), []).append(name)
    if not folders:
        raise DeployBenchError(f"{path} holds no artifact", expected=f"a {SUFFIX} file that deploybench pack wrote")
    return folders


def _take(archive: zipfile.ZipFile, folder: str, names: Sequence[str], workspace: Workspace) -> Artifact:
    with workspace.staging() as staging:
        for name in names:
            target = staging / PurePosixPath(name).relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        artifact = open_artifact(staging)
        artifact.check_files()
        manifest = artifact.manifest
        listed = {MANIFEST, *(file.path for file in manifest.files)}
        unlisted = sorted({str(PurePosixPath(name).relative_to(folder)) for name in names} - listed)
        if unlisted:
            raise DeployBenchError(f"{folder} of the pack holds {unlisted[0]}, which its manifest does not list")
        destination = workspace.artifact_folder(
            manifest.model.name, manifest.backend, manifest.precision, manifest.batch, manifest.key
        )
        if not destination.exists():
            publish(staging, destination)
    return open_artifact(destination)
