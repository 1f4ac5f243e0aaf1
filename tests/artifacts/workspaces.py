"""Workspaces with real artifacts in them that cost no export: copies of the kept ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from deploybench.artifacts.workspace import Workspace
from tests.conftest import rewrite_manifest

KEPT = Path(__file__).parents[1] / "fixtures" / "first-schema"
MODEL = "timm:test_efficientnet"
ONNX = "timm-test_efficientnet/onnx-fp32-dynamic-6575a36b"
PYTORCH = "timm-test_efficientnet/pytorch-fp32-dynamic-4b1d67e0"
RUN = "20261126-182358-3b0b"


def kept_workspace(root: Path, *names: str) -> Workspace:
    """A workspace with copies of the kept artifacts of these names."""
    workspace = Workspace(root)
    workspace.prepare()
    for name in names:
        shutil.copytree(KEPT / "artifacts" / name, workspace.artifacts_folder / name)
    return workspace


def add_copy(workspace: Workspace, name: str, folder: str, **changes: object) -> Path:
    """A copy of a kept artifact beside the others, with other fields in its manifest."""
    target = workspace.artifacts_folder / "timm-test_efficientnet" / folder
    shutil.copytree(KEPT / "artifacts" / name, target)
    rewrite_manifest(target, **changes)
    return target


def add_run(workspace: Workspace, name: str, created: str, *, kind: str = "records") -> Path:
    """A run whose records are dated ``created``."""
    folder = workspace.root / kind / name
    folder.mkdir(parents=True)
    for path in (KEPT / "records" / RUN).glob("*.json"):
        record = json.loads(path.read_text())
        record["created"] = created
        record["run"] = name
        (folder / path.name).write_text(json.dumps(record))
    return folder
