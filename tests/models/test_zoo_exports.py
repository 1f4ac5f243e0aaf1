"""Every mechanism of the zoo exports to every format, passes parity, and runs at a batch it was not traced at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from deploybench.artifact import Artifact
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.models.attention_maps import read_attention
from deploybench.models.loading import SingleOutput, load_model
from deploybench.models.source import BuildOptions
from deploybench.registry import runners_of_format
from deploybench.workspace import Workspace

MECHANISMS = ("linformer", "performer", "fastformer", "xca", "augmented")
FORMATS = ("torchscript", "onnx", "openvino", "torch-export")
ROOT = Path(__file__).parents[2]


@contextmanager
def at_the_root(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.chdir(ROOT)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Artifact]:
    place = Workspace(tmp_path_factory.mktemp("zoo"))
    place.prepare()
    requests = [
        ExportRequest(model=ModelRequest(name=f"tests.models.tiny_zoo:{name}"), backend=backend)
        for name in MECHANISMS
        for backend in FORMATS
    ]
    with at_the_root(pytest.MonkeyPatch()):
        results = list(export_all(requests, place, ExportOptions(jobs=2)))
    for result in results:
        assert result.artifact is not None, f"{result.request.model.name} {result.request.backend}: {result.error}"
    return {
        (result.request.model.name.partition(":")[2], result.request.backend): result.artifact
        for result in results
        if result.artifact is not None
    }


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("backend", FORMATS)
def test_artifact_is_verified_and_its_batch_is_free(
    exported: dict[tuple[str, str], Artifact], name: str, backend: str
) -> None:
    artifact = exported[name, backend]
    parity = artifact.manifest.parity
    assert parity is not None
    assert parity.passed, parity.reason
    assert parity.max_error is not None
    assert parity.max_error < 1e-4
    (runner, *_) = runners_of_format(backend)
    launch = run_job(
        Job(
            artifact=str(artifact.path),
            runner=runner.name,
            device="cpu",
            precision="fp32",
            batch=3,
            threads=1,
            measure=False,
        )
    )
    assert launch.parity is not None, launch.error or launch.refused
    assert launch.parity.passed, launch.parity.reason


@pytest.mark.parametrize("name", MECHANISMS)
def test_reading_the_attention_changes_no_artifact(
    exported: dict[tuple[str, str], Artifact], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outputs of the exported graph are those of a model whose attention was read before."""
    monkeypatch.chdir(ROOT)
    built, _ = load_model(f"tests.models.tiny_zoo:{name}", BuildOptions(), None, allow_partial=False)
    inputs, expected = exported[name, "onnx"].reference()
    with torch.no_grad():
        assert read_attention(built.module, torch.from_numpy(inputs))
        found = SingleOutput(built.module, torch.float32)(torch.from_numpy(inputs))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4)
