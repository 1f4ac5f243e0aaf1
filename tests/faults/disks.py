"""Faults of a disk: full, or not to be written to. Root mounts small ones; others cannot try."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.faults import fault
from tests.faults.place import MODEL, NotHereError, Place, has, promise
from tests.faults.workers import again, went_on

KIND = "The disk"


def mount(*arguments: str) -> None:
    """Raises NotHereError where that is not allowed."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        raise NotHereError("only root mounts a file system")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotHereError(f"no file system can be mounted: {done.stderr.strip()}")


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    """A file system on the folder while the body runs."""
    folder.mkdir(parents=True, exist_ok=True)
    mount(*arguments, str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def small(folder: Path, size: str) -> contextlib.AbstractContextManager[None]:
    """A disk of that size on the folder."""
    return mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs")


def grown(folder: Path) -> None:
    """The small disk has room again."""
    mount("-o", "remount,size=64m", str(folder))


@fault(KIND, "full when the records are written")
def full_for_records(place: Place, number: int) -> str:
    records = place.workspace.records_folder
    with small(records, "16k"):
        done = place.run(*place.measured())
        promise(done.code not in (0, None), "it says nothing of the full disk")
        told = has(done.refusal, "could not be written", "No space left on device")
        promise(done.rows, "what was measured is not shown")
        place.check({})
        grown(records)
        again(place, place.files())
    # A run tells other things aside, too: the path is the word before.
    before, words, after = told.partition(" could not be written")
    return before.split()[-1] + words + after


@fault(KIND, "full for temporary files")
def full_for_temporary_files(place: Place, number: int) -> str:
    temporary = place.folder / "t"
    # Looking for the machine's peaks is done by a child, which needs more room than the rest.
    for peaks in (place.folder / "cache" / "deploybench").glob("peaks-*.json"):
        peaks.unlink()
    with small(temporary, "4k"):
        (temporary / "filling").write_bytes(b"0" * 4096)
        done = place.run(*place.measured())
        if done.code:
            sees = has(done.refusal, "No space left on device")
        else:
            went_on(done)
            sees = "both rows: what they need is not written there"
        place.check({})
        grown(temporary)
        again(place, place.files())
    return sees[:300]


@fault(KIND, "full when an artifact is exported")
def full_for_artifacts(place: Place, number: int) -> str:
    artifacts = place.workspace.artifacts_folder
    asked = ("export", "-w", str(place.workspace.root), "-m", MODEL, "-b", "onnx")
    with small(artifacts, "256k"):
        done = place.run(*asked)
        promise(done.code != 0, "it says nothing of the full disk")
        sees = has(" ".join(f"{done.output} {done.errors}".split()), "No space left on device")
        place.check({})
        grown(artifacts)
        done = place.run(*asked)
        promise(done.code == 0, f"not after there is room either: {done.refusal}")
    return sees


@fault(KIND, "a workspace that is read only", often=True)
def read_only(place: Place, number: int) -> str:
    root = place.workspace.root
    with mounted(root, "--bind", str(root)):
        mount("-o", "remount,ro,bind", str(root))
        done = place.run(*place.measured())
        promise(done.code != 0, "it says nothing of the read-only disk")
        sees = has(done.refusal, "Read-only file system")
        place.check({})
        mount("-o", "remount,rw,bind", str(root))
        went_on(place.run(*place.measured()))
        place.check({})
    return sees
