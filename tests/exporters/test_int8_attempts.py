"""What is written is the attempt that was judged, whatever was tried after it; and biases are
corrected for the layers that the exporter rounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.calibration import Calibration, CalibrationImages
from deploybench.artifacts.references import Array
from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.exporters import (
    bias_correction,
    onnx_quantised,
    openvino,
    openvino_quantised,
    torch_quantised,
)
from deploybench.exporters.bias_correction import Biases
from deploybench.exporters.float_layers import Attempt, Judge
from deploybench.exporters.onnx import OnnxExporter

torch = pytest.importorskip("torch")

IMAGES = np.random.default_rng(0).normal(0.5, 1, (4, 3, 8, 8)).astype(np.float32)
EXAMPLE = torch.from_numpy(IMAGES)
CHOSEN = ("0",)


def network() -> torch.nn.Sequential:
    torch.manual_seed(3)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 1),
        torch.nn.Conv2d(8, 8, 3, groups=8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 4, 1),
        torch.nn.Flatten(),
    ).eval()
    with torch.no_grad():
        # Its filters are rounded by much, so that biases are corrected by much.
        model[1].weight[:, :, 0, 0] = 8.0
        model[1].weight[:, :, 1:] = 0.03
    return model


def spec(*keep: str) -> ExportSpec:
    told = Calibration(source="synthetic", images=4, asked=4, found=4, seed=1)
    images = CalibrationImages(IMAGES, told)
    return ExportSpec(precision="int8", batch=4, calibration=images, keep_fp32=keep)


class Search:
    """A search that makes another attempt after the one that it takes."""

    def __init__(self) -> None:
        self.judged: Mapping[str, Array] = {}

    def __call__(
        self, biases: Biases, spec: ExportSpec, judge: Judge, attempt: Attempt
    ) -> tuple[str, ...]:
        attempt(())
        self.judged = attempt(CHOSEN)(IMAGES)
        attempt(("0", "1", "3"))
        return CHOSEN


def test_program_of_torchao_is_the_one_that_was_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torchao")
    search = Search()
    monkeypatch.setattr(torch_quantised, "float_layers", search)
    program, _, kept = torch_quantised.quantised_program(network(), EXAMPLE, spec(), tmp_path)
    assert kept == CHOSEN
    with torch.no_grad():
        written = program.module()(EXAMPLE)
    assert np.array_equal(written.numpy(), search.judged["logits"])


def test_graph_of_nncf_is_the_one_that_was_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    search = Search()
    monkeypatch.setattr(openvino_quantised, "float_layers", search)
    files = openvino.OpenVinoExporter().export(network(), EXAMPLE, spec(), tmp_path)
    import openvino as library

    assert files.kept_fp32 == CHOSEN
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = library.Core().compile_model(tmp_path / files.entry, "CPU", settings)
    written = compiled({INPUT_NAME: IMAGES})[0]
    assert np.allclose(written, search.judged["logits"], atol=1e-6)


@pytest.fixture
def believed(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The layers of the network that each correction believes to be in float."""
    corrections = []

    def correct(
        model: torch.nn.Module,
        images: Array,
        norms: object,
        in_float: Collection[str],
        batch: int | None,
    ) -> None:
        corrections.append({path for path, _ in model.named_modules()} & set(in_float))

    monkeypatch.setattr(bias_correction, "correct_biases", correct)
    return corrections


def test_correction_knows_the_layer_of_a_node_of_onnx(
    believed: list[set[str]], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    exporter = OnnxExporter()
    nodes = onnx_quantised._nodes(
        tmp_path / exporter.export_float(network(), EXAMPLE, spec(), tmp_path).entry
    )
    (node,) = (node for node, names in nodes.items() if names[0] == "1")
    assert exporter.export(network(), EXAMPLE, spec(node), tmp_path).kept_fp32 == ("1",)
    assert believed == [{"1"}]


def test_correction_knows_the_layer_of_an_operator_of_openvino(
    believed: list[set[str]], tmp_path: Path
) -> None:
    pytest.importorskip("nncf")
    files = openvino.OpenVinoExporter().export(
        network(), EXAMPLE, spec("*/GroupConvolution"), tmp_path
    )
    assert files.kept_fp32 == ("1",)
    assert believed == [{"1"}]


def test_correction_knows_what_torchao_does_not_round(
    believed: list[set[str]], tmp_path: Path
) -> None:
    pytest.importorskip("torchao")
    model = network()
    model[3] = torch.nn.ConvTranspose2d(8, 4, 1).eval()
    torch_quantised.quantised_program(model, EXAMPLE, spec("0"), tmp_path)
    assert believed == [{"0", "3"}]
