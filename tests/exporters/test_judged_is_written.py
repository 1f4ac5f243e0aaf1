"""What is written is the attempt that was judged, whatever was tried after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.calibration import Calibration, CalibrationImages
from deploybench.artifacts.references import Array
from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.exporters import openvino, openvino_quantised, torch_quantised
from deploybench.exporters.bias_correction import Biases
from deploybench.exporters.float_layers import Attempt, Judge

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


def spec() -> ExportSpec:
    told = Calibration(source="synthetic", images=4, asked=4, found=4, seed=1)
    return ExportSpec(precision="int8", batch=4, calibration=CalibrationImages(IMAGES, told))


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
