"""Every mechanism of the zoo exports to every format, passes parity, and runs at a batch it was not
traced at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import runners_of_format
from deploybench.export.pipeline import PRELOAD, ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.measure.job import Job
from deploybench.measure.scheduler import verify
from deploybench.models.attention_maps import read_attention
from tests.models import tiny_zoo

MECHANISMS = ("linformer", "performer", "fastformer", "xca", "augmented")
FORMATS = ("torchscript", "onnx", "openvino", "torch-export")
ROOT = Path(__file__).parents[2]


@contextmanager
def at_the_root(patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.chdir(ROOT)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def exported(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str, int | None], Artifact]:
    place = Workspace(tmp_path_factory.mktemp("zoo"))
    place.prepare()
    requests = [
        ExportRequest(
            model=ModelRequest(name=f"tests.models.tiny_zoo:{name}"), backend=backend, batch=batch
        )
        for name in MECHANISMS
        for backend in FORMATS
        for batch in (None, 1)
    ]
    with at_the_root(pytest.MonkeyPatch()):
        results = list(export_all(requests, place, ExportOptions(jobs=2)))
    found = {}
    for result in results:
        request = result.request
        assert result.artifact is not None, (
            f"{request.model.name} {request.backend}: {result.error}"
        )
        found[request.model.name.partition(":")[2], request.backend, request.batch] = (
            result.artifact
        )
    return found


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("backend", FORMATS)
@pytest.mark.parametrize("batch", [None, 1])
def test_artifact_is_verified(
    exported: dict[tuple[str, str, int | None], Artifact],
    name: str,
    backend: str,
    batch: int | None,
) -> None:
    parity = exported[name, backend, batch].manifest.parity
    assert parity is not None
    assert parity.passed, parity.reason
    assert parity.max_error is not None
    assert parity.max_error < 1e-4


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("backend", FORMATS)
def test_free_batch_runs_at_a_size_that_it_was_not_exported_with(
    exported: dict[tuple[str, str, int | None], Artifact], name: str, backend: str
) -> None:
    (runner, *_) = runners_of_format(backend)
    job = Job(
        artifact=str(exported[name, backend, None].path),
        runner=runner.name,
        device="cpu",
        precision="fp32",
        batch=3,
        threads=1,
        measure=False,
    )
    launch = verify(job, preload=PRELOAD)
    assert launch.parity is not None, launch.error or launch.refused
    assert launch.parity.passed, launch.parity.reason


@pytest.mark.parametrize("name", MECHANISMS)
def test_reading_the_attention_changes_no_exported_graph(name: str) -> None:
    model = getattr(tiny_zoo, name)().eval().requires_grad_(False)
    side = model.pretrained_cfg["input_size"][1]
    images = torch.zeros(2, 3, side, side)
    before = nodes_of(model, images)
    assert read_attention(model, images)
    assert nodes_of(model, images) == before


def nodes_of(model: nn.Module, images: torch.Tensor) -> list[str]:
    """The operators of the traced graph, functions of the model's own inlined."""
    return [
        node.kind()
        for node in torch.jit.trace(model, images, check_trace=False).inlined_graph.nodes()
    ]
