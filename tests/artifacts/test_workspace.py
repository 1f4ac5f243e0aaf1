"""Publishing: one artifact by several processes at once, and somebody looking."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from deploybench.artifacts import workspace as module
from deploybench.artifacts.workspace import Workspace, publish

TIMES = 150


def publish_many(root: Path, name: str) -> None:
    """Publish the same destination again and again; a failure is the process's exit code."""
    workspace = Workspace(root)
    for _ in range(TIMES):
        with workspace.staging() as staging:
            (staging / "manifest.json").write_text(name)
            publish(staging, workspace.artifacts_folder / "model" / "artifact")


@pytest.mark.attack(
    kind="Several at once",
    attack="two processes publish one artifact 150 times each, and somebody looks",
    before="1 % fail; for 0.3 % of looks the artifact is missing",
    now="none fails, and it is always there",
)
def test_two_processes_publish_one_artifact_and_who_looks_always_finds_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.prepare()
    publish_many(tmp_path, "first")
    manifest = workspace.artifacts_folder / "model" / "artifact" / "manifest.json"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=publish_many, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()

    looks = 0
    missing = 0
    while any(writer.is_alive() for writer in writers):
        looks += 1
        missing += not manifest.parent.is_dir()

    assert [writer.exitcode for writer in writers] == [0, 0]
    assert looks > 0
    assert missing == 0
    assert manifest.read_text() in "ab"
    assert [path.name for path in workspace.artifacts_folder.iterdir()] == ["model"]


def test_where_names_cannot_be_exchanged_the_old_folder_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_exchange", lambda one, other: False)
    workspace = Workspace(tmp_path)
    workspace.prepare()

    publish_many(tmp_path, "again")

    published = workspace.artifacts_folder / "model" / "artifact"
    assert (published / "manifest.json").read_text() == "again"
    assert [path.name for path in workspace.artifacts_folder.iterdir()] == ["model"]
