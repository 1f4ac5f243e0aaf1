"""What evaluations predicted goes with the artifact that was evaluated, and not before."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import open_artifact
from deploybench.artifacts.predicted import ARTIFACT, FILES, IDENTITY, LIES_AT, LOCK
from deploybench.artifacts.tidy import named_removals, prunable, remove
from deploybench.artifacts.workspace import Workspace
from tests.artifacts.workspaces import MODEL, ONNX, PYTORCH, add_copy, kept_workspace
from tests.conftest import run_here

LATER = "2027-01-01T00:00:00.000+00:00"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return kept_workspace(tmp_path / "workspace", ONNX, PYTORCH)


def predictions(
    workspace: Workspace, name: str, exported: Path, changes: dict[str, object] | None = None
) -> Path:
    """What an evaluation of that artifact leaves."""
    folder = workspace.evaluations_folder / name
    folder.mkdir(parents=True)
    manifest = open_artifact(exported).manifest
    identity = {
        ARTIFACT: manifest.key,
        FILES: manifest.content_sha256,
        LIES_AT: str(exported.resolve()),
        "data": "5" * 64,
        **(changes or {}),
    }
    (folder / IDENTITY).write_text(json.dumps(identity))
    (folder / "outputs.bin").write_bytes(bytes(3 << 20))
    (folder / LOCK).touch()
    return folder


def reasons(workspace: Workspace) -> dict[str, str]:
    return {removal.path.name: removal.reason for removal in prunable(workspace)}


def test_predictions_stay_as_long_as_the_artifact_and_go_with_it(workspace: Workspace) -> None:
    folder = workspace.artifacts_folder / ONNX
    kept = predictions(workspace, "kept", workspace.artifacts_folder / PYTORCH)
    gone = predictions(workspace, "gone", folder)
    # A workspace that was moved, or copied to another host.
    predictions(workspace, "moved", workspace.artifacts_folder / PYTORCH, {LIES_AT: "/nowhere"})
    assert prunable(workspace) == []
    shutil.rmtree(workspace.evaluations_folder / "moved")

    named = named_removals(workspace, [f"{MODEL}/onnx"])
    assert [removal.path for removal in named] == [folder, gone]
    assert named[1].size_bytes > 3 << 20
    assert named[1].reason == "predictions of an artifact that is gone"
    assert named[1].name == "evaluations/gone"

    shutil.rmtree(folder)
    assert reasons(workspace) == {"gone": "predictions of an artifact that is gone"}
    remove(workspace, prunable(workspace))
    assert list(workspace.evaluations_folder.iterdir()) == [kept]


def test_predictions_of_a_superseded_artifact_go_with_it_in_one_command(
    workspace: Workspace,
) -> None:
    predictions(workspace, "older", workspace.artifacts_folder / ONNX)
    newer = add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)
    predictions(workspace, "newer", newer)
    shown = run_here("prune", "--dry-run", "-w", workspace.root)
    assert "would remove 2" in shown.stdout
    assert "evaluations/older" in shown.stdout
    assert "evaluations/newer" not in shown.stdout
    done = run_here("prune", "--yes", "-w", workspace.root)
    assert "removed 2" in done.stdout
    assert [path.name for path in workspace.evaluations_folder.iterdir()] == ["newer"]


def test_what_nothing_goes_on_from_is_told_by_its_cause(workspace: Workspace) -> None:
    onnx = workspace.artifacts_folder / ONNX
    predictions(workspace, "other-files", onnx, {FILES: "0" * 64})
    predictions(workspace, "earlier", onnx, {FILES: None})
    broken = predictions(workspace, "broken", onnx)
    (broken / IDENTITY).write_text("{")
    assert reasons(workspace) == {
        "other-files": "predictions of an artifact that was exported anew since",
        "earlier": "an earlier version's, which no evaluation goes on from",
        "broken": "its evaluation.json does not read",
    }


def test_what_a_process_works_in_stays(workspace: Workspace) -> None:
    onnx = workspace.artifacts_folder / ONNX
    working = predictions(workspace, "working", onnx, {ARTIFACT: "0" * 64, LIES_AT: None})
    begun = predictions(workspace, "begun", onnx, {ARTIFACT: "0" * 64, LIES_AT: None})
    (begun / LOCK).unlink()
    descriptor = os.open(working / LOCK, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        assert prunable(workspace) == []
    finally:
        os.close(descriptor)
    before = time.time() - 3600
    os.utime(begun, (before, before))
    assert set(reasons(workspace)) == {"working", "begun"}


def test_predictions_of_an_artifact_outside_of_the_workspace_stay_while_it_is_there(
    workspace: Workspace, tmp_path: Path
) -> None:
    elsewhere = kept_workspace(tmp_path / "elsewhere", ONNX).artifacts_folder / ONNX
    shutil.rmtree(workspace.artifacts_folder / ONNX)
    predictions(workspace, "elsewhere", elsewhere)
    assert prunable(workspace) == []
    shutil.rmtree(elsewhere)
    assert set(reasons(workspace)) == {"elsewhere"}
