"""Packs: artifacts in one file, to carry to a target host.

A pack is a ZIP archive without compression (weights do not shrink) whose entries are
MODEL/ARTIFACT/FILE. Before anything is unpacked its entries are compared with the manifests;
afterwards seals and hashes are. That shows damage, not who made it: AOTInductor artifacts hold
native code, a ``pytorch`` artifact names the Python code of its model. So a pack carries no
signatures, and what is unpacked runs no code before the user trusts it
(:mod:`deploybench.artifacts.signature`).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from deploybench.artifacts.artifact import (
    MANIFEST,
    MOST_MANIFEST_BYTES,
    SIGNATURE,
    Artifact,
    Manifest,
    open_artifact,
    whole_artifact,
)
from deploybench.artifacts.workspace import Workspace, artifact_name, publish
from deploybench.documents import read_document
from deploybench.errors import DeployBenchError
from deploybench.files import writing_whole
from deploybench.untrusted import open_regular

SUFFIX = ".dbpack"
ENCRYPTED = 1
Entries = dict[str, zipfile.ZipInfo]
"""By their names below the artifact's folder."""


def write_pack(artifacts: Sequence[Artifact], path: Path) -> None:
    """Write the artifacts into ``path``, whole or not at all.

    Each is checked first; repeats are written once.
    """
    named = {artifact_name(artifact.manifest): artifact for artifact in artifacts}
    for artifact in named.values():
        artifact.check_files()
    with (
        writing_whole(path, "--out") as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive,
    ):
        for folder, artifact in named.items():
            for name in (MANIFEST, *(file.path for file in artifact.manifest.files)):
                archive.write(artifact.path / name, str(folder / name))


def read_pack(path: Path, workspace: Workspace) -> list[Artifact]:
    """Put the artifacts of a pack into the workspace.

    Those that are there already, whole and the same, stay. None is signed: whoever runs one that
    holds code asks for consent.

    Raises DeployBenchError when the file is no pack, or when anything in it is damaged, changed or
    unlisted, or when the workspace has another artifact under the same name: then nothing of the
    artifact concerned is kept.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            folders = _folders(archive)
            _check_size(archive, path)
            return [_take(archive, entries, workspace) for entries in folders]
    except DeployBenchError as error:
        raise DeployBenchError(
            f"{path}: {error.found}",
            expected=error.expected,
            action=error.action or "pack it again, or copy it again",
        ) from None
    except (
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        NotImplementedError,
        ValueError,  # a name that does not decode
    ) as error:
        raise DeployBenchError(
            f"{path} cannot be read as a pack: {error}",
            expected=f"a {SUFFIX} file that deploybench pack wrote, and space for what it holds",
            action="copy it again, and compare its size",
        ) from None


def _check_size(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse entries that claim more bytes than the file has: two of them would be the same bytes,
    and a small file could fill the disk."""
    claimed = sum(info.file_size for info in archive.infolist())
    present = path.stat().st_size
    if claimed > present:
        raise DeployBenchError(
            f"its entries claim {claimed} bytes, and it has {present}",
            expected="every file in it once, as it is",
        )


def _folders(archive: zipfile.ZipFile) -> list[Entries]:
    """The entries of each artifact.

    Refuses names that lead elsewhere, repeats, compression and encryption.
    """
    folders: dict[tuple[str, ...], Entries] = defaultdict(dict)
    for info in archive.infolist():
        parts = PurePosixPath(info.filename).parts
        below = "/".join(parts[2:])
        if (
            not below
            or info.filename != "/".join(parts)
            or ".." in parts
            or parts[0] == "/"
            or "\\" in info.filename
        ):
            raise DeployBenchError(
                f"an entry is called '{info.filename}'", expected="MODEL/ARTIFACT/FILE"
            )
        if below in folders[parts[:2]]:
            raise DeployBenchError(f"'{info.filename}' is there twice", expected="every file once")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise DeployBenchError(
                f"'{info.filename}' is a link or a device", expected="plain files"
            )
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ENCRYPTED:
            raise DeployBenchError(
                f"'{info.filename}' is compressed or encrypted", expected="files as they are"
            )
        folders[parts[:2]][below] = info
    if not folders:
        raise DeployBenchError(
            "it holds no artifact", expected=f"a {SUFFIX} file that deploybench pack wrote"
        )
    return list(folders.values())


def _take(archive: zipfile.ZipFile, entries: Entries, workspace: Workspace) -> Artifact:
    """Unpack one artifact into the workspace, if what the pack says of it is true."""
    manifest = _manifest(archive, entries)
    # Names and sizes first: they are known before anything is unpacked.
    listed = {file.path: file.size_bytes for file in manifest.files}
    packed = {name: info.file_size for name, info in entries.items() if name != MANIFEST}
    for name in sorted(packed.keys() | listed.keys()):
        if packed.get(name) != listed.get(name):
            raise DeployBenchError(
                f"'{name}' has {packed.get(name, 'no')} bytes",
                expected=f"{listed.get(name, 'no')}, as its manifest says",
            )
    with workspace.staging() as staging:
        for name, info in entries.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
        artifact = open_artifact(staging)
        artifact.check_files()
        destination = workspace.artifacts_folder / artifact_name(artifact.manifest)
        if not _is_there(artifact, destination):
            # Who had signed a damaged copy of the same content has signed this one.
            with contextlib.suppress(OSError):
                shutil.copyfile(destination / SIGNATURE, staging / SIGNATURE)
            publish(staging, destination, made_here=False)
    return open_artifact(destination)


def _is_there(artifact: Artifact, destination: Path) -> bool:
    """Whether the same artifact lies there already, whole.

    A damaged copy of the same one does not count: the packed one takes its place. Raises
    DeployBenchError for anything else under that name, which nobody asked to lose.
    """
    if not os.path.lexists(destination):
        return False
    try:
        present = open_artifact(destination)
    except DeployBenchError as error:
        raise _occupied(destination, f"something that does not read ({error.found})") from None
    if present.manifest.seal != artifact.manifest.seal:
        made, packed = present.manifest.created, artifact.manifest.created
        raise _occupied(destination, f"another artifact, made {made} (the packed one: {packed})")
    return whole_artifact(destination) is not None


def _occupied(destination: Path, by: str) -> DeployBenchError:
    name = f"{destination.parent.name}/{destination.name}"
    return DeployBenchError(
        f"the workspace has {by} in the place of {name}",
        expected="nothing there, or the same artifact",
        action=f"deploybench rm {name} if it may go, or keep both: --workspace with another folder",
    )


def _manifest(archive: zipfile.ZipFile, entries: Entries) -> Manifest:
    info = entries.get(MANIFEST)
    if info is None or info.file_size > MOST_MANIFEST_BYTES:
        raise DeployBenchError(
            f"an artifact has no {MANIFEST}, or one of over {MOST_MANIFEST_BYTES >> 20} MiB",
            expected=f"a {MANIFEST} in each",
        )
    return read_document(
        Manifest,
        archive.read(info),
        origin=f"the pack's {info.filename}",
        what="a manifest",
        expected="a manifest of schema version 1",
        action="pack the artifacts again with this version of deploybench",
    )
