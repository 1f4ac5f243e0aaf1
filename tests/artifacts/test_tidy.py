"""What a workspace holds, what of it may go, and that nothing else ever does."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

import pytest

from deploybench.artifacts.tidy import (
    Removal,
    named_removals,
    prunable,
    remove,
    stored_artifacts,
    stored_runs,
)
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX
from tests.artifacts.workspaces import MODEL, ONNX, PYTORCH, add_copy, add_run, kept_workspace

LATER = "2027-01-01T00:00:00.000+00:00"
DAY_S = 86400.0


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return kept_workspace(tmp_path / "workspace", ONNX, PYTORCH)


def age(path: Path) -> None:
    """Make a path look as if nothing had touched it for an hour."""
    before = time.time() - 3600
    os.utime(path, (before, before))


def reasons(removals: list[Removal]) -> dict[str, str]:
    return {removal.path.name: removal.reason for removal in removals}


def test_artifacts_are_listed_with_what_they_take_on_the_disk(workspace: Workspace) -> None:
    stored = {one.name: one for one in stored_artifacts(workspace)}

    assert set(stored) == {f"{MODEL}/onnx", f"{MODEL}/pytorch"}
    onnx = stored[f"{MODEL}/onnx"]
    folder = workspace.artifacts_folder / ONNX
    assert onnx.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert onnx.damage is None
    assert not onnx.superseded


def test_runs_are_listed_with_their_verdicts_and_a_broken_record_is_counted(
    workspace: Workspace,
) -> None:
    folder = add_run(workspace, "20260101-000000-aaaa", "2026-01-01T00:00:00.000+00:00")
    (folder / "broken.json").write_text("{")
    add_run(workspace, "20250101-000000-bbbb", "2025-01-01T00:00:00.000+00:00", kind="scenarios")

    scenario, run = stored_runs(workspace)

    assert (scenario.kind, scenario.cells) == ("scenario", 4)
    assert run.cells == 5
    assert run.verdicts == {"UNSTABLE": 4, "unreadable": 1}
    assert run.created.startswith("2026-01-01")


def test_prune_finds_nothing_in_a_tidy_workspace(workspace: Workspace) -> None:
    add_run(workspace, "20200101-000000-aaaa", "2020-01-01T00:00:00.000+00:00")

    assert prunable(workspace) == []


def test_prune_finds_what_is_unreadable_damaged_or_without_a_manifest(
    workspace: Workspace,
) -> None:
    (workspace.artifacts_folder / ONNX / "manifest.json").write_text("{}")
    (workspace.artifacts_folder / PYTORCH / "weights.safetensors").write_bytes(b"cut")
    bare = workspace.artifacts_folder / "model" / "bare"
    bare.mkdir(parents=True)
    age(bare)

    found = reasons(prunable(workspace))

    assert set(found) == {Path(ONNX).name, Path(PYTORCH).name, "bare"}
    assert "3 bytes instead of" in found[Path(PYTORCH).name]
    assert found["bare"] == "it has no manifest.json"


def test_prune_finds_what_a_newer_one_supersedes_but_not_for_a_damaged_newer_one(
    workspace: Workspace,
) -> None:
    newer = add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)
    assert reasons(prunable(workspace)) == {Path(ONNX).name: "a newer one supersedes it"}

    (newer / "model.onnx").unlink()

    assert set(reasons(prunable(workspace))) == {newer.name}


def test_prune_leaves_the_partial_folder_of_a_living_process(workspace: Workspace) -> None:
    dead = workspace.artifacts_folder / f"{STAGING_PREFIX}dead"
    dead.mkdir()
    age(dead)
    young = workspace.artifacts_folder / f"{STAGING_PREFIX}young"
    young.mkdir()

    with workspace.staging() as living:
        age(living)
        found = prunable(workspace)

    assert set(reasons(found)) == {dead.name}


def test_a_staging_folder_is_held_while_it_is_worked_in(workspace: Workspace) -> None:
    with workspace.staging() as staging:
        descriptor = os.open(staging, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_prune_finds_partial_records_and_empty_runs(workspace: Workspace) -> None:
    run = add_run(workspace, "20260101-000000-aaaa", "2026-01-01T00:00:00.000+00:00")
    partial = run / f"{STAGING_PREFIX}cell.json"
    partial.write_text("{")
    empty = workspace.records_folder / "20260101-000001-bbbb"
    empty.mkdir()
    age(partial)
    age(empty)

    assert reasons(prunable(workspace)) == {
        partial.name: "a process that ended left it behind",
        empty.name: "it is empty",
    }


def test_old_runs_go_only_where_it_is_asked_for(workspace: Workspace) -> None:
    for day in (1, 2, 3):
        add_run(workspace, f"2026010{day}-000000-aaaa", f"2026-01-0{day}T00:00:00.000+00:00")
    now_s = 1767484800.0  # 2026-01-04T00:00:00Z

    last = prunable(workspace, keep_last=1, now_s=now_s)
    old = prunable(workspace, older_than_s=1.5 * DAY_S, now_s=now_s)
    both = prunable(workspace, keep_last=2, older_than_s=0.5 * DAY_S, now_s=now_s)

    assert set(reasons(last)) == {"20260101-000000-aaaa", "20260102-000000-aaaa"}
    assert reasons(old) == {
        "20260101-000000-aaaa": "it is 3 days old",
        "20260102-000000-aaaa": "it is 2 days old",
    }
    assert set(reasons(both)) == {"20260101-000000-aaaa"}
    assert len(prunable(workspace, keep_last=0, now_s=now_s)) == 3


def test_names_of_artifacts_and_runs_are_removed_and_the_bytes_said(workspace: Workspace) -> None:
    run = add_run(workspace, "20260101-000000-aaaa", "2026-01-01T00:00:00.000+00:00")
    removals = named_removals(workspace, [f"{MODEL}/onnx", "20260101-*", f"{MODEL}/*"])

    freed = remove(workspace, removals)

    assert {removal.path for removal in removals} == {
        workspace.artifacts_folder / ONNX,
        workspace.artifacts_folder / PYTORCH,
        run,
    }
    assert freed == sum(removal.size_bytes for removal in removals)
    assert not any(workspace.artifacts_folder.iterdir())
    assert not any(workspace.records_folder.iterdir())


def test_an_unreadable_artifact_can_be_removed_by_its_path(workspace: Workspace) -> None:
    folder = workspace.artifacts_folder / ONNX
    (folder / "manifest.json").write_text("{}")

    remove(workspace, named_removals(workspace, [str(folder)]))

    assert not folder.exists()
    assert (workspace.artifacts_folder / PYTORCH).exists()


def test_nothing_outside_the_workspace_is_removed(workspace: Workspace, tmp_path: Path) -> None:
    elsewhere = kept_workspace(tmp_path / "elsewhere", ONNX).artifacts_folder / ONNX
    link = workspace.artifacts_folder / "model" / "link"
    link.parent.mkdir()
    link.symlink_to(elsewhere)

    for name in (elsewhere, link, workspace.root, workspace.artifacts_folder, tmp_path, "/"):
        with pytest.raises(DeployBenchError, match="is not in the workspace"):
            named_removals(workspace, [f"{MODEL}/pytorch", str(name)])
    with pytest.raises(DeployBenchError, match="is not in the workspace"):
        remove(workspace, [Removal("x", elsewhere, "forged", 1)])

    assert elsewhere.is_dir()
    assert (workspace.artifacts_folder / PYTORCH).is_dir()


def test_a_name_that_means_nothing_removes_nothing(workspace: Workspace) -> None:
    with pytest.raises(DeployBenchError, match="has no artifact"):
        named_removals(workspace, [f"{MODEL}/onnx", "nothing"])
