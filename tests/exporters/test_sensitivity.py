"""Which layers stay in float where they are looked for: the fewest with which it agrees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.exporters.sensitivity import keep_fewest, ranked

ORDER = [f"layer{index}" for index in range(16)]


@pytest.mark.parametrize("needed", [0, 1, 2, 3, 5, 8])
def test_fewest_layers_with_which_it_agrees_are_kept_in_few_attempts(needed: int) -> None:
    attempts = []

    def agrees(layers: Sequence[str]) -> bool:
        attempts.append(tuple(layers))
        return len(layers) >= needed

    assert keep_fewest(ORDER, agrees) == tuple(ORDER[:needed])
    assert len(attempts) == len(set(attempts)) <= 7


def test_search_ends_where_half_of_the_layers_are_not_enough() -> None:
    with pytest.raises(DeployBenchError, match="with the 8 most sensitive of 16 layers"):
        keep_fewest(ORDER, lambda layers: False)


def test_layer_that_loses_most_comes_first_and_the_model_is_as_before() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 8, 3), torch.nn.Conv2d(8, 8, 3)
    )
    with torch.no_grad():
        # One channel of the middle one's input is loud, and has no weight there: it takes the
        # range from the others.
        model[0].weight[0] *= 1000
        model[1].weight[:, 0] = 0
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = np.random.default_rng(0).normal(size=(4, 3, 16, 16)).astype(np.float32)
    assert ranked(model, images)[0] == "1"
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


def exported(backend: str, model: str, folder: Path) -> ExportResult:
    workspace = Workspace(folder)
    workspace.prepare()
    request = ExportRequest(
        model=ModelRequest(name=model),
        backend=backend,
        precision="int8",
        calibration="synthetic",
        keep_fp32=("auto",),
    )
    return export_one(request, workspace, ExportOptions())


def test_search_that_finds_no_layers_to_keep_is_a_failure_that_says_what_was_tried(
    tmp_path: Path,
) -> None:
    result = exported("openvino", "tests.exporters.loud_network:one_loud_channel", tmp_path)
    assert result.artifact is None
    assert result.error is not None
    assert "with the 1 most sensitive of 2 layers in float" in result.error.found


def test_search_on_onnx_runtime_ends_with_what_agrees_in_its_8_bit_kernels(tmp_path: Path) -> None:
    result = exported("onnx", "timm:test_resnet", tmp_path)
    assert result.artifact is not None, result.error
    assert result.ok, result.artifact.manifest.parity_note
