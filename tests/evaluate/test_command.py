"""``evaluate`` as a user types it, and what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.workspace import Workspace
from deploybench.evaluate.journal import Journal
from deploybench.results.store import evaluations_in
from tests.cli.processes import started_cli, wait_for
from tests.conftest import run_here
from tests.evaluate.conftest import COLOURS, image_of, write_classes, write_images

SLOW_IMAGES = 80


@pytest.fixture
def workspace(colours: Workspace, tmp_path: Path) -> Workspace:
    own = Workspace(tmp_path / "workspace")
    shutil.copytree(colours.artifacts_folder, own.artifacts_folder)
    return own


def typed(workspace: Workspace, data: Path, *more: str) -> list[str]:
    arguments = ["evaluate", "--data", str(data), "-w", str(workspace.root)]
    return [*arguments, "--runner", "onnxruntime", "--threads", "1", *more]


def test_table_says_accuracy_and_how_it_stands_to_fp32_eager(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=8, mistakes=2)
    (data / "red" / "0000.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    done = run_here(*typed(workspace, data, "--details"))
    assert done.returncode == 1, done.stderr  # an image was left out
    text = " ".join(done.stdout.split())
    assert "48 images, 6 classes" in text
    assert "76.6 ±" in text
    assert "SAME" in text
    assert "Class by class" in text
    assert "not evaluated:" in text
    assert max(len(line) for line in done.stdout.splitlines()) <= 112
    rows = json.loads(run_here(*typed(workspace, data, "--json")).stdout)
    assert [row["runner"] for row in rows] == ["pytorch", "onnxruntime"]
    assert rows[1]["top1"] == pytest.approx(36 / 47)
    assert rows[1]["images_failed"] == 1
    assert (rows[1]["answer"], rows[1]["accuracy_difference"]) == ("SAME", 0)
    csv = run_here(*typed(workspace, data, "--csv")).stdout
    assert csv.splitlines()[0].startswith("model,weights,image_size,runner")
    shown = run_here("show", "-w", workspace.root)
    assert "76.6 ±" in shown.stdout
    listed = json.loads(run_here("list", "-w", workspace.root, "--json").stdout)
    assert {run["kind"] for run in listed["runs"]} == {"evaluation"}


def test_folder_without_labels_says_that_the_answers_agree(
    workspace: Workspace, tmp_path: Path
) -> None:
    write_images(tmp_path / "data", [*COLOURS, *COLOURS])
    done = run_here(*typed(workspace, tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert "no labels: agreement with fp32 eager only" in " ".join(done.stdout.split())
    line = next(line for line in done.stdout.splitlines() if line.startswith("onnxruntime"))
    assert line.split()[3:5] == ["all", "all"]


def test_killed_evaluation_goes_on_and_predicts_no_image_twice(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = slow_images(tmp_path / "data")
    typed_here = typed(workspace, data, "--batch", "1", "--no-eager", "--class-names", NAMES)
    with started_cli(*typed_here) as child:
        outputs = wait_for(lambda: outputs_of(workspace))
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
    time.sleep(0.3)  # the worker dies with its parent
    left = Journal(outputs.parent, 6).read()
    assert 0 < left.count < SLOW_IMAGES
    time.sleep(0.3)
    assert Journal(outputs.parent, 6).read().count == left.count
    first = left.outputs.copy()
    done = run_here(*typed_here, "--json")
    (row,) = json.loads(done.stdout)
    assert row["images_evaluated"] == SLOW_IMAGES
    assert "goes on after" in done.stderr
    after = Journal(outputs.parent, 6).read()
    assert sorted(after.images.tolist()) == list(range(SLOW_IMAGES))
    assert (after.outputs[: len(first)] == first).all()


def test_interrupted_evaluation_says_so_and_keeps_what_it_has(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = slow_images(tmp_path / "data")
    typed_here = typed(workspace, data, "--batch", "1", "--no-eager", "--class-names", NAMES)
    with started_cli(*typed_here) as child:
        outputs = wait_for(lambda: outputs_of(workspace))
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert child.returncode == 130
    assert 0 < Journal(outputs.parent, 6).read().count < SLOW_IMAGES
    assert evaluations_in(workspace.records_folder) == []


NAMES = ",".join(COLOURS)


def slow_images(root: Path) -> Path:
    """Images of a million pixels, which take tens of milliseconds to read."""
    tile = image_of("red", np.random.default_rng(0))
    large = Image.fromarray(np.tile(tile, (40, 40, 1)))
    for name in ("red", "green"):
        (root / name).mkdir(parents=True)
    first = root / "red" / "0000.png"
    large.save(first)
    for number in range(1, SLOW_IMAGES):
        os.link(first, root / ("red", "green")[number % 2] / f"{number:04}.png")
    return root


def outputs_of(workspace: Workspace) -> Path | None:
    """Where the first predictions are, once they are there."""
    found = list(workspace.evaluations_folder.glob("*/outputs.bin"))
    return found[0] if found and found[0].stat().st_size else None


def test_values_that_are_none_are_refused_in_words(workspace: Workspace, tmp_path: Path) -> None:
    missing = run_here(*typed(workspace, tmp_path / "nowhere"))
    assert missing.returncode == 2
    assert "there is no data at" in missing.stderr
    data = write_classes(tmp_path / "data", each=1)
    for option, words in (
        (("--class-names", "a,,b"), "--class-names a,,b holds no names"),
        (("--uncertain", "perhaps"), "word for --uncertain 'perhaps'"),
        (("--margin", "1"), "a share in percent"),
        (("--task", "embedding"), "there is no class that could be right"),
        (("--split", "test"), "split"),
        (("--class-names", ",".join(f"class{n}" for n in range(900))), "is not named"),
    ):
        refused = run_here(*typed(workspace, data, *option))
        assert refused.returncode == 2, option
        assert words in " ".join(refused.stderr.split()), option
