"""Bundles of the tiny model, each written once for all tests that read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.bundle.request import BundleRequest, carry_out_bundle

Bundled = Callable[[str], Path]
RUNNERS = ("onnx", "openvino", "torchscript", "torch-export", "aotinductor")
"""The backends whose artifacts are bundled, on the runner that is the first of each."""


@pytest.fixture(scope="session")
def bundled(
    tiny_artifact: Callable[[str], Artifact], tmp_path_factory: pytest.TempPathFactory
) -> Bundled:
    """The folder of the tiny model's bundle by backend. It is read only: tests change copies."""
    written: dict[str, Path] = {}

    def folder_of(backend: str) -> Path:
        if backend not in written:
            folder = tmp_path_factory.mktemp("bundles") / backend
            artifact = str(tiny_artifact(backend).path)
            carry_out_bundle(BundleRequest(artifact, folder, threads=1))
            written[backend] = folder
        return written[backend]

    return folder_of


def serve(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``python serve.py ARGUMENTS`` from another folder, as a user may start it."""
    return subprocess.run(
        [sys.executable, str(folder / "serve.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=120,
        check=False,
    )


def answers(folder: Path, *images: Path) -> list[dict[str, Any]]:
    done = serve(folder, *images, "--json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
