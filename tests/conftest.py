"""Shared fixtures: a command line in a process of its own, and one workspace with a tiny model in
every format."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all, usable_backends
from deploybench.export.request import ExportRequest, ModelRequest

TINY = "timm:test_vit"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def run_cli(
    *arguments: str | Path,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """``deploybench ARGUMENTS`` as a user starts it, without a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "deploybench", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
        cwd=cwd,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def cli() -> Cli:
    return run_cli


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A ViT of 0.4 M parameters, exported and verified in every format that this host writes.

    Read only.
    """
    workspace = Workspace(tmp_path_factory.mktemp("tiny") / "workspace")
    workspace.prepare()
    requests = [
        ExportRequest(model=ModelRequest(name=TINY), backend=name)
        for name in usable_backends("fp32")
    ]
    for result in export_all(requests, workspace, ExportOptions(jobs=2)):
        assert result.ok, (result.request.backend, result.error)
    return workspace


@pytest.fixture(scope="session")
def tiny_artifact(tiny_workspace: Workspace) -> Callable[[str], Artifact]:
    """The tiny model's artifact by backend."""
    by_backend = {artifact.manifest.backend: artifact for artifact in tiny_workspace.artifacts()}
    return lambda backend: by_backend[backend]


def rewrite_manifest(folder: Path, **changes: object) -> None:
    """Replace fields of a manifest: what somebody who knows the format could do to an artifact."""
    path = folder / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    path.write_text(manifest.model_copy(update=changes).sealed().model_dump_json())
