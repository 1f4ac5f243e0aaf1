"""Branches that depend on the image are kept or refused; those on sizes are nobody's business."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from deploybench.contracts import ExportSpec
from deploybench.contracts.registry import exporter
from deploybench.errors import DeployBenchError
from deploybench.exporters.tracing import frozen_reads, keeping_branches
from deploybench.models.loading import SingleOutput, load_model
from deploybench.models.source import BuildOptions

EXAMPLE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
DARK = torch.full((2, 3, 16, 16), -9.0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.gate = nn.Parameter(torch.ones(1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.stem(images).mean((2, 3))
        return features


class Branch(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.mean() < -3:
            return self.features(images) * 0 + 1
        return self.features(images)


class Unscriptable(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.features(images)
        several = {1: 2, "a": features}
        if float(features.sum()) > 0:
            features = [*several.values()][1] * 3  # type: ignore[assignment]
        return features


class Sizes(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.shape[2] % 2:
            images = images[..., 1:]
        assert images.shape[1] == 3
        return self.features(images)


class Checks(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert images.min() > -1e9
        if torch.isnan(images).any():
            raise ValueError("NaN")
        return self.features(images)


class Parameters(Net):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.gate > 0:
            images = images * 2
        return self.features(images)


def wrapped(model: nn.Module) -> nn.Module:
    return SingleOutput(model.eval().requires_grad_(False), torch.float32).eval()


def traced(model: nn.Module) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: torch.jit.ScriptModule = keeping_branches(
            model, EXAMPLE, lambda module: torch.jit.trace(module, EXAMPLE, check_trace=False)
        )
    return made


def test_a_read_of_the_images_values_is_found_with_its_line() -> None:
    [read] = frozen_reads(wrapped(Branch()), EXAMPLE)
    assert read.file == __file__
    assert "images.mean() < -3" in read.text


@pytest.mark.parametrize("model", [Sizes(), Checks(), Parameters()], ids=lambda m: type(m).__name__)
def test_sizes_checks_and_parameters_are_read_without_harm(model: nn.Module) -> None:
    assert frozen_reads(wrapped(model), EXAMPLE) == []
    traced(wrapped(model))


@pytest.mark.trust(
    item=7,
    case="a branch on the image's brightness, TorchScript",
    before="verified; predict on a black image: class 1 at 89 %, eager class 3 at 74 %",
    now="scripted: both sides are in the artifact",
)
def test_a_branch_is_kept_where_it_can_be_scripted() -> None:
    model = wrapped(Branch())
    frozen = torch.jit.freeze(traced(model))
    assert torch.allclose(frozen(EXAMPLE), model(EXAMPLE), atol=1e-5)
    assert torch.allclose(frozen(DARK), model(DARK), atol=1e-5)


@pytest.mark.trust(
    item=7,
    case="a branch on the data that cannot be scripted, TorchScript",
    before="verified, with the one side that the example took",
    now="refused, with file and line",
)
def test_a_branch_that_cannot_be_kept_is_refused_with_its_line() -> None:
    with pytest.raises(DeployBenchError, match=r"test_tracing\.py:\d+ \(if float"):
        traced(wrapped(Unscriptable()))


@pytest.mark.trust(
    item=7,
    case="a branch on the image's brightness, OpenVINO",
    before="verified; predict on a black image: class 1 at 89 %, eager class 3 at 74 %",
    now="converted from the scripted module: both sides are in the artifact",
)
def test_openvino_keeps_the_branch(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = wrapped(Branch())
    exporter("openvino").require().export(model, EXAMPLE, ExportSpec("fp32"), tmp_path)
    compiled = openvino.Core().compile_model(
        tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for images in (EXAMPLE, DARK):
        output = compiled(images.numpy())[0]
        assert np.allclose(output, model(images).numpy(), atol=1e-4)


def test_torch_export_refuses_a_branch_with_its_line(tmp_path: Path) -> None:
    plugin = exporter("torch-export").require()
    with pytest.raises(DeployBenchError, match=r"test_tracing\.py:\d+ \(if images\.mean"):
        plugin.export(wrapped(Branch()), EXAMPLE, ExportSpec("fp32"), tmp_path)


@pytest.mark.trust(
    item=7,
    case="a branch on the image's brightness, ONNX",
    before="refused in the words of torch's compiler, without the line",
    now="refused, with file and line and what to write in its place",
)
def test_onnx_refuses_a_branch_with_its_line(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    plugin = exporter("onnx").require()
    with pytest.raises(DeployBenchError, match=r"test_tracing\.py:\d+ \(if images\.mean") as said:
        plugin.export(wrapped(Branch()), EXAMPLE, ExportSpec("fp32"), tmp_path)
    assert "torch.where" in (said.value.action or "")


@pytest.mark.parametrize("name", ["timm:test_vit", "timm:test_resnet", "xcit-tiny"])
def test_models_that_ask_for_sizes_are_traced(name: str) -> None:
    built, _ = load_model(name, BuildOptions(), None, allow_partial=False)
    spec = built.preprocessing
    images = torch.zeros(2, spec.channels, spec.height, spec.width)
    assert frozen_reads(wrapped(built.module), images) == []
