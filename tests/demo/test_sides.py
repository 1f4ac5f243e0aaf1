"""The processes behind the page: the artifacts themselves answer, and no image ends them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import psutil
import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.demo.sides import Sides, choices_in, named
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import predict_images
from tests.artifacts.workspaces import ONNX, PYTORCH, kept_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return kept_workspace(tmp_path_factory.mktemp("demo") / "workspace", ONNX)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("images") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_side_sees_what_predict_sees_and_outlives_what_is_no_image(
    workspace: Workspace, image: Path, tmp_path: Path
) -> None:
    (choice,) = [one for one in choices_in(workspace) if one.runner == "onnxruntime"]
    (expected,) = predict_images(choice.artifact.path, [image], top=3, threads=1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(image.read_bytes()[:200])
    with Sides([choice], threads=1) as sides:
        seen = sides.look(choice.name, image, 3)
        assert seen.error is None
        assert [one.score for one in seen.classes] == pytest.approx(
            [one["probability"] for one in expected["classes"]], rel=1e-5
        )
        assert seen.call_ms is not None
        assert seen.call_ms > 0
        (number,) = [resident.number for resident in sides._loaded.values()]
        # Between two images it takes no CPU time. A busy machine may stop it a moment later.
        deadline = monotonic() + 30
        while psutil.Process(number).status() != psutil.STATUS_STOPPED:
            assert monotonic() < deadline
            sleep(0.05)

        assert "broken.png" in (sides.look(choice.name, broken, 3).error or "")
        assert sides.look(choice.name, image, 3).classes == seen.classes
        assert [resident.number for resident in sides._loaded.values()] == [number]

        # A process that dies is started anew.
        os.kill(number, signal.SIGKILL)
        assert "its process ended" in (sides.look(choice.name, image, 3).error or "")
        assert sides.look(choice.name, image, 3).classes == seen.classes
        assert sides.look("another", image, 3).error == "there is no another"
    assert not psutil.pid_exists(number)


def test_code_of_others_is_not_run_without_a_word(tmp_path: Path, image: Path) -> None:
    own = kept_workspace(tmp_path / "workspace", PYTORCH)
    (choice,) = [one for one in choices_in(own) if one.runner == "pytorch"]
    with Sides([choice], threads=1) as sides:
        assert "deploybench demo --trust" in (sides.look(choice.name, image, 1).error or "")


def test_what_is_not_there_is_said(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="no artifact that can be shown is called vit"):
        named(choices_in(workspace), "vit")
    with pytest.raises(DeployBenchError, match="holds no verified artifact"):
        choices_in(Workspace(tmp_path))
