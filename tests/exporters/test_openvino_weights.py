"""int8-weights: stored in 8 bits, multiplied in float32, and called so wherever they appear."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.weights_audit import WEIGHTS_AUDITED
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import ExportSpec, RunOptions
from deploybench.contracts.registry import exporter, exporters, runners
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOrder, requests_of
from deploybench.export.pipeline import ExportOptions, check_requests, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.precisions import INT8_WEIGHTS
from deploybench.measure.proof import Proof, prove, reference_batches
from deploybench.plan.cells import form_of
from deploybench.runners import openvino as runner_module

MODELS = ["timm:test_resnet", "timm:test_vit"]


def exported(model: str, precision: str, workspace: Workspace) -> Artifact:
    request = ExportRequest(model=ModelRequest(name=model), backend="openvino", precision=precision)
    result = export_one(request, workspace, ExportOptions())
    assert result.artifact is not None, result.error
    return result.artifact


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.prepare()
    return workspace


def proof_of(artifact: Artifact) -> Proof:
    options = RunOptions(device="cpu", precision=INT8_WEIGHTS, batch=1, threads=1)
    with runners()["openvino"].require().load(artifact, options) as session:
        return prove(session, artifact, options, reference_batches(artifact, 1))


@pytest.mark.parametrize("model", MODELS)
def test_weights_are_written_in_8_bits_without_images_and_all_found_again(
    model: str, workspace: Workspace
) -> None:
    artifact = exported(model, INT8_WEIGHTS, workspace)
    manifest = artifact.manifest
    assert manifest.verified, manifest.parity_note
    assert manifest.parity is not None
    assert (manifest.precision, manifest.parity.precision) == (INT8_WEIGHTS, INT8_WEIGHTS)
    assert (manifest.calibration, manifest.kept_fp32) == (None, ())
    assert str(manifest.facts["weights"]).startswith("int8, by output channel")
    assert manifest.facts["products"] == "fp32"
    found, _, tensors = str(manifest.facts[WEIGHTS_AUDITED]).partition(" of ")
    assert tensors == f"{found} found"
    assert form_of(artifact) == "int8-weights-dynamic"
    in_float = exported(model, "fp32", workspace)
    assert weights_bytes(artifact) < 0.35 * weights_bytes(in_float)


def weights_bytes(artifact: Artifact) -> int:
    return artifact.entry.with_suffix(".bin").stat().st_size


@pytest.mark.parametrize("model", MODELS)
def test_products_run_in_float32_and_the_row_says_what_stays_in_8_bits(
    model: str, workspace: Workspace
) -> None:
    proof = proof_of(exported(model, INT8_WEIGHTS, workspace))
    assert proof.holds, proof
    assert proof.facts.precision == INT8_WEIGHTS
    assert any("weights stored in 8 bits, products in fp32" in note for note in proof.facts.notes)


def test_activations_that_openvino_rounds_as_they_come_are_no_float_products(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = exported("timm:test_vit", INT8_WEIGHTS, workspace)
    plugin = runners()["openvino"].require()
    options = RunOptions(device="cpu", precision=INT8_WEIGHTS, batch=1, threads=1)
    engine = plugin.engine(artifact, options, {runner_module.DYNAMIC_QUANTISATION: 32})  # type: ignore[attr-defined]
    monkeypatch.setattr(type(plugin), "engine", lambda *_: engine)
    proof = proof_of(artifact)
    assert proof.refused is not None
    assert "asked for precision int8-weights" in proof.refused
    assert proof.facts.precision == "int8"


def test_file_with_float_weights_under_that_name_is_not_run_as_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    artifact = exported("timm:test_resnet", INT8_WEIGHTS, workspace)
    in_float = exported("timm:test_resnet", "fp32", workspace)
    proof = proof_of(Artifact(in_float.path, artifact.manifest))
    assert proof.facts.precision == "fp32"
    assert proof.refused is not None
    assert "no weight of the file is stored in 8 bits" in proof.facts.notes


def test_runner_offers_such_an_artifact_as_nothing_else() -> None:
    plugin = runners()["openvino"].require()
    assert plugin.precisions(INT8_WEIGHTS) == {INT8_WEIGHTS}
    assert INT8_WEIGHTS not in plugin.precisions("fp32") | plugin.precisions("int8")
    assert plugin.default_precision(INT8_WEIGHTS) == INT8_WEIGHTS


def test_layers_are_said_to_be_computed_in_float32(workspace: Workspace) -> None:
    artifact = exported("timm:test_vit", INT8_WEIGHTS, workspace)
    options = RunOptions(device="cpu", precision=INT8_WEIGHTS, batch=1, threads=1)
    with runners()["openvino"].require().load_profiled(artifact, options) as session:
        session.infer(reference_batches(artifact, 1)[0])
        session.collect()
        layers = session.layer_times().layers
    assert any("Compressed" in layer.kind for layer in layers)
    assert {layer.precision for layer in layers} == {"fp32"}


@pytest.mark.parametrize("backend", sorted(set(exporters()) - {"openvino"}))
def test_other_backends_refuse_it_and_name_the_one_that_writes_it(backend: str) -> None:
    request = ExportRequest(model=ModelRequest(name="vit"), backend=backend, precision=INT8_WEIGHTS)
    with pytest.raises(DeployBenchError, match="does not write int8-weights") as refusal:
        check_requests([request])
    assert refusal.value.action == "what writes int8-weights: --backend openvino"


def test_without_a_backend_openvino_writes_it() -> None:
    requests = requests_of(ExportOrder(models=["vit"], precisions=[INT8_WEIGHTS]))
    assert [(one.backend, one.precision) for one in requests] == [("openvino", INT8_WEIGHTS)]


@pytest.mark.parametrize("about_int8", [{"calibration": "synthetic"}, {"keep_fp32": ["head"]}])
def test_images_and_layers_in_float_are_no_matter_of_it(about_int8: dict[str, Any]) -> None:
    order = ExportOrder(
        models=["vit"], backends=["openvino"], precisions=[INT8_WEIGHTS], **about_int8
    )
    with pytest.raises(DeployBenchError, match="nothing here is exported so"):
        requests_of(order)


def test_library_that_stores_them_is_in_the_key() -> None:
    assert "nncf" in exporter("openvino").require().distributions_for(INT8_WEIGHTS)


def test_depthwise_convolutions_alone_keep_their_weights_in_float(tmp_path: Path) -> None:
    layers = (nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3, groups=2))
    facts = written(nn.Sequential(*layers), tmp_path)
    assert facts["weights"] == (
        "int8, by output channel, asymmetric: 2 of 3 products; 1 depthwise convolution in fp32"
    )


class OnlySums(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) + 1


def written(module: nn.Module, folder: Path) -> Mapping[str, str | int]:
    spec = ExportSpec(precision=INT8_WEIGHTS)
    plugin = exporter("openvino").require()
    return plugin.export(module.eval(), torch.zeros(2, 3, 8, 8), spec, folder).facts


def test_model_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="none of the model's weights in 8 bits"):
        written(OnlySums(), tmp_path)


def test_missing_library_is_said_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(DeployBenchError, match="need NNCF") as refusal:
        written(nn.Conv2d(3, 4, 3), tmp_path)
    assert refusal.value.action == 'pip install "deploybench[quantisation]"'
