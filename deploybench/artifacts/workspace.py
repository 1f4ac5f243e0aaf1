"""The workspace: ``artifacts/`` and ``records/`` under one folder.

Everything in it is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deploybench.artifacts.artifact import MANIFEST, Artifact, Manifest, open_artifact
from deploybench.artifacts.signature import sign
from deploybench.children.family import goes_with_us
from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX, slug

DEFAULT_ROOT = "deploybench-workspace"
ROOT_VARIABLE = "DEPLOYBENCH_WORKSPACE"
MEASURED_AGAIN = "measured-again"
"""Of a workspace, itself one: what gates measured again, and the artifacts that they fetched."""
SMALLEST_FREE_BYTES = 64 << 20
AT_FDCWD = -100
"""Of Linux: paths are relative to the current folder."""
RENAME_EXCHANGE = 2
"""Of Linux, renameat2(2): both names exist, and each is given what the other had."""


@dataclass(frozen=True)
class Workspace:
    """A folder that holds artifacts and records."""

    root: Path

    @property
    def artifacts_folder(self) -> Path:
        return self.root / "artifacts"

    @property
    def records_folder(self) -> Path:
        return self.root / "records"

    @property
    def layers_folder(self) -> Path:
        """What was found of the layers of artifacts, one document each."""
        return self.root / "layers"

    @property
    def evaluations_folder(self) -> Path:
        """What was predicted image by image: evaluations go on from it."""
        return self.root / "evaluations"

    def check_writable(self) -> None:
        """Raise DeployBenchError when the workspace could not be written; nothing is created."""
        # The deepest folder that exists: all that is missing would be created in it.
        existing = self.root.absolute()
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            raise self._refusal(f"{existing} is no folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise self._refusal(f"{existing} is not writable")

    def prepare(self) -> None:
        """Create the folders and prove that they can be written, before any work starts.

        Raises DeployBenchError when they cannot, or when less than 64 MiB are free.
        """
        try:
            for folder in (self.artifacts_folder, self.records_folder):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except OSError as error:
            raise self._refusal(str(error.strerror)) from None
        free = shutil.disk_usage(self.root).free
        if free < SMALLEST_FREE_BYTES:
            raise DeployBenchError(
                f"the disk of the workspace {self.root} has {free >> 20} MiB free",
                expected=f"at least {SMALLEST_FREE_BYTES >> 20} MiB",
                action="free some space, or pass --workspace FOLDER on another disk",
            )

    def _refusal(self, cause: str) -> DeployBenchError:
        return DeployBenchError(
            f"the workspace {self.root} cannot be written: {cause}",
            expected="a folder that this user may write to",
            action=f"pass --workspace FOLDER or set {ROOT_VARIABLE}",
        )

    def artifacts(self) -> list[Artifact]:
        """Every readable artifact, oldest first.

        Folders that do not read are left to :meth:`unreadable`.
        """
        artifacts = []
        for folder in self._artifact_paths():
            with contextlib.suppress(DeployBenchError):
                artifacts.append(open_artifact(folder))
        return sorted(artifacts, key=lambda artifact: artifact.manifest.created)

    def unreadable(self) -> list[tuple[Path, DeployBenchError]]:
        """Each folder that should be an artifact and is none, with the reason."""
        problems = []
        for folder in self._artifact_paths():
            try:
                open_artifact(folder)
            except DeployBenchError as error:
                problems.append((folder, error))
        return problems

    def artifact_folder(
        self, model: str, backend: str, precision: str, batch: int | None, key: str
    ) -> Path:
        """Where an artifact with that content key belongs: readable names first, then the key."""
        return self.artifacts_folder / _artifact_name(model, backend, precision, batch, key)

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder to work in, on the same disk; it is gone afterwards unless it was published."""
        folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=self.artifacts_folder))
        # Held as long as this process works in it: what nobody holds, a dead process left behind.
        descriptor = os.open(folder, os.O_RDONLY)
        goes_with_us(folder)
        try:
            with contextlib.suppress(OSError):  # a disk without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
        finally:
            os.close(descriptor)
            shutil.rmtree(folder, ignore_errors=True)

    def _artifact_paths(self) -> list[Path]:
        return sorted(path.parent for path in self.artifacts_folder.glob(f"[!.]*/[!.]*/{MANIFEST}"))


def artifact_name(manifest: Manifest) -> PurePosixPath:
    """Where the artifact belongs below a workspace's ``artifacts/``.

    MODEL/ARTIFACT, in characters that are safe in a path.
    """
    name = manifest.model.name
    return _artifact_name(name, manifest.backend, manifest.precision, manifest.batch, manifest.key)


def _artifact_name(
    model: str, backend: str, precision: str, batch: int | None, key: str
) -> PurePosixPath:
    batch_name = "dynamic"
    if batch is not None:
        batch_name = f"b{batch}"
    return PurePosixPath(slug(model), slug(f"{backend}-{precision}-{batch_name}-{key[:8]}"))


def open_workspace(root: Path | None) -> Workspace:
    """The workspace at ``root``, else at $DEPLOYBENCH_WORKSPACE, else ./deploybench-workspace."""
    return Workspace(root or Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))


def publish(staging: Path, destination: Path, *, made_here: bool = True) -> None:
    """Move a finished folder into place in one step; where a folder was, that one is gone.

    What was ``made_here`` is signed before it is moved: it may run without further consent.

    Several processes may publish the same artifact at once: one of them is last, none fails, and
    who looks meanwhile always finds a whole artifact. (On a file system that cannot exchange two
    names, who looks may find none for an instant.)
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if made_here:
        sign(staging, "made")
    while True:
        try:
            staging.rename(destination)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        # Another process may take the old folder away between the two steps: then once more.
        with contextlib.suppress(FileNotFoundError):
            if _exchange(staging, destination):
                shutil.rmtree(staging, ignore_errors=True)
                return
            replaced = staging.with_name(staging.name + "-replaced")
            destination.rename(replaced)
            shutil.rmtree(replaced, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system or the disk cannot.

    Raises FileNotFoundError when one of them is not there.
    """
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    if ctypes.get_errno() == errno.ENOENT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(other))
    return False
