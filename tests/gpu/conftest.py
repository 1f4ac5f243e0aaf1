"""What only a CUDA GPU can show: skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.host import describe_host
from tests.conftest import TINY

CONVOLUTIONAL = "timm:test_resnet"
WRITTEN = {
    "pytorch": ("fp32",),
    "torchscript": ("fp32", "fp16", "bf16"),
    "torch-export": ("fp32",),
    "onnx": ("fp32", "fp16"),
}
Exported = Callable[[str, str, str], Artifact]


@pytest.fixture(autouse=True, scope="session")
def _gpu() -> None:
    host = describe_host()
    if not host.gpus:
        pytest.skip(f"no CUDA device: {host.gpu_note}")


@pytest.fixture(scope="session")
def exported(_gpu: None, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The artifact of (model, format, precision): a small transformer and a small convolutional
    network."""
    workspace = Workspace(tmp_path_factory.mktemp("gpu") / "workspace")
    workspace.prepare()
    requests = [
        ExportRequest(model=ModelRequest(name=model), backend=form, precision=precision)
        for model in (TINY, CONVOLUTIONAL)
        for form, precisions in WRITTEN.items()
        for precision in precisions
    ]
    found = {}
    for result in export_all(requests, workspace, ExportOptions(jobs=2)):
        assert result.artifact is not None, (result.request, result.error)
        found[result.request.model.name, result.request.backend, result.request.precision] = (
            result.artifact
        )
    return lambda model, form, precision: found[model, form, precision]
