"""The promise: the folder, on its own requirements and nothing else, gives the measured answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import open_artifact
from deploybench.bundle.request import BundleRequest, carry_out_bundle
from deploybench.evaluate.predict import predict_images
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.data.pictures import turned, written

INSTALL_LIMIT_S = 240


def installed(folder: Path, environment: Path) -> Path:
    """The interpreter of an environment that holds what the folder's requirements name.

    Skips where no package index can be reached.
    """
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    if shutil.which("uv", path=str(Path(sys.executable).parent)):
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
    done = subprocess.run(
        [*install, "--requirement", str(folder / "requirements.txt")],
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT_S,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the requirements could not be installed here: {done.stderr.strip()[-300:]}")
    return python


def test_bundle_answers_as_measured_in_an_environment_of_its_own(tmp_path: Path) -> None:
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    artifact = open_artifact(workspace.artifacts_folder / ONNX)
    written_at = tmp_path / "bundle"
    carry_out_bundle(BundleRequest(str(artifact.path), written_at, threads=1))
    image = written(tmp_path, "turned.jpg", turned(6))
    (expected,) = predict_images(artifact.path, [image], threads=1)
    folder = shutil.move(written_at, tmp_path / "elsewhere")
    shutil.rmtree(workspace.root)
    python = installed(folder, tmp_path / "environment")

    def run(*arguments: str) -> str:
        variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        done = subprocess.run(
            [str(python), *arguments],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    here = run(
        "-c",
        "import importlib.util as u; print([u.find_spec(n) is None for n in NAMES])".replace(
            "NAMES", repr(["deploybench", "torch", "onnx", "pydantic"])
        ),
    )
    assert here.split("\n")[0] == "[True, True, True, True]"
    assert "those that were measured" in run("serve.py", "--check")
    (seen,) = json.loads(run("serve.py", str(image), "--json"))
    assert [one["index"] for one in seen["answers"]] == [
        one["index"] for one in expected["classes"]
    ]
    for one, other in zip(seen["answers"], expected["classes"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-6)
        assert one["name"] == other["name"]
