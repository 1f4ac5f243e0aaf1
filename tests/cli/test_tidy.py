"""``list``, ``rm`` and ``prune``, and the names that ``predict`` and ``run`` take."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.workspace import Workspace
from tests.artifacts.workspaces import MODEL, ONNX, PYTORCH, add_copy, add_run, kept_workspace
from tests.conftest import Cli, run_here

LATER = "2027-01-01T00:00:00.000+00:00"


@pytest.fixture
def cli() -> Cli:
    """What is printed is looked at, not the process."""
    return run_here


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = kept_workspace(tmp_path / "workspace", ONNX, PYTORCH)
    add_run(made, "20260101-000000-aaaa", "2026-01-01T00:00:00.000+00:00")
    return made


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with two images, one that does not read, and a file that is no image."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "b.png")
    Image.fromarray(pixels).save(folder / "a.png")
    (folder / "broken.png").write_bytes(b"no image")
    (folder / "notes.txt").write_text("no image either")
    return folder


def test_list_shows_names_sizes_states_and_verdicts_at_80_columns(
    cli: Cli, workspace: Workspace
) -> None:
    add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)
    (workspace.artifacts_folder / PYTORCH / "labels.json").unlink()

    shown = cli("list", "--workspace", workspace.root, environment={"COLUMNS": "80"})

    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    [superseded] = [line for line in lines if f"{MODEL}/onnx-6575a36b" in line]
    assert "superseded" in superseded
    assert f"damaged: {MODEL}/pytorch: labels.json is missing" in shown.stdout
    [run] = [line for line in lines if "20260101-000000-aaaa" in line]
    assert "4 UNSTABLE" in run
    assert "3 artifacts, 1 run," in shown.stdout


def test_list_as_data_has_every_field(cli: Cli, workspace: Workspace) -> None:
    shown = cli("list", "--workspace", workspace.root, "--json")

    listed = json.loads(shown.stdout)
    [onnx] = [one for one in listed["artifacts"] if one["backend"] == "onnx"]
    assert onnx["name"] == f"{MODEL}/onnx"
    assert onnx["verified"]
    assert listed["runs"][0]["verdicts"] == {"UNSTABLE": 4}


def test_rm_removes_nothing_unasked_where_nobody_can_answer(cli: Cli, workspace: Workspace) -> None:
    asked = cli("rm", f"{MODEL}/onnx", "--workspace", workspace.root)

    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    assert (workspace.artifacts_folder / ONNX).is_dir()


def test_rm_says_what_it_removed_and_how_much(cli: Cli, workspace: Workspace) -> None:
    done = cli("rm", f"{MODEL}/onnx", "2026*", "--yes", "--workspace", workspace.root)

    assert done.returncode == 0, done.stderr
    assert Path(ONNX).name in done.stdout
    assert "removed 2 from" in done.stdout
    assert "bytes" in done.stdout
    assert not (workspace.artifacts_folder / ONNX).exists()
    assert (workspace.artifacts_folder / PYTORCH).is_dir()


def test_prune_shows_first_and_removes_with_yes(cli: Cli, workspace: Workspace) -> None:
    add_copy(workspace, ONNX, "onnx-fp32-dynamic-33333333", key="3" * 64, created=LATER)
    arguments = ("prune", "--keep-last", "0", "--workspace", workspace.root)

    shown = cli(*arguments, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "would remove 2" in shown.stdout
    assert (workspace.artifacts_folder / ONNX).is_dir()

    done = cli(*arguments, "--yes")
    assert done.returncode == 0, done.stderr
    assert not (workspace.artifacts_folder / ONNX).exists()
    assert not any(workspace.records_folder.iterdir())
    again = cli(*arguments, "--yes")
    assert "nothing to remove" in again.stdout


def test_predict_takes_a_short_name_and_a_folder_and_goes_on_past_what_does_not_read(
    cli: Cli, workspace: Workspace, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    finished = cli(
        "predict", f"{MODEL}/onnx", pictures, "--top", "1", "--workspace", workspace.root, "--json"
    )

    assert finished.returncode == 1
    predictions = json.loads(finished.stdout)
    names = [Path(prediction["image"]).name for prediction in predictions]
    assert names == ["a.png", "b.png", "broken.png"]
    assert [len(prediction["classes"]) for prediction in predictions] == [1, 1, 0]
    assert "broken.png does not read as an image" in finished.stderr
    assert "1 of 3 images could not be read" in finished.stderr
    assert "OMP_THREAD_LIMIT=1: cleared, --threads says how many" in finished.stderr


def test_predict_says_which_artifacts_a_pattern_means(
    cli: Cli, workspace: Workspace, pictures: Path
) -> None:
    refused = cli("predict", f"{MODEL}/*", pictures, "--workspace", workspace.root)

    assert refused.returncode == 2
    assert f"means 2 artifacts: {MODEL}/onnx, {MODEL}/pytorch" in refused.stderr


def test_predict_refuses_when_no_image_reads(
    cli: Cli, workspace: Workspace, pictures: Path
) -> None:
    refused = cli(
        "predict", f"{MODEL}/onnx", pictures / "broken.png", "--workspace", workspace.root
    )

    assert refused.returncode == 2
    assert "does not read as an image" in refused.stderr


def test_run_takes_a_short_name(cli: Cli, workspace: Workspace) -> None:
    finished = cli(
        *("run", "--artifact", f"{MODEL}/onnx", "--workspace", workspace.root),
        *("--runner", "onnxruntime", "--threads", "1"),
        *("--rounds", "1", "--duration", "50ms", "--min-samples", "4", "--json"),
    )

    assert finished.returncode == 0, finished.stderr
    [row] = json.loads(finished.stdout)
    assert row["model"] == MODEL
