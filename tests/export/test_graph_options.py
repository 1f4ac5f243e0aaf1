"""Options of exporters that change the graph or the module: done, told, and refused where nothing
changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.exporters.onnx import OnnxExporter
from deploybench.models.reparameterised import reparameterised
from deploybench.plan.cells import form_of
from tests.conftest import TINY

BRANCHED = "timm:repghostnet_050"
"""Two branches in every block while it trains, one afterwards."""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("graphs") / "workspace")
    made.prepare()
    return made


def exported(workspace: Workspace, backend: str, name: str, **options: str | bool) -> ExportResult:
    small = (64, 64) if name == BRANCHED else None
    model = ModelRequest(name=name, image_size=small)
    request = ExportRequest(model=model, backend=backend, options=options)
    return export_one(request, workspace, ExportOptions())


def artifact_of(result: ExportResult) -> Artifact:
    assert result.ok, result.error
    assert result.artifact is not None
    assert result.artifact.manifest.verified
    return result.artifact


def test_onnxslim_leaves_fewer_nodes_and_the_manifest_says_so(workspace: Workspace) -> None:
    pytest.importorskip("onnxslim")
    artifact = artifact_of(exported(workspace, "onnx", TINY, simplify="onnxslim"))
    before, after = map(int, artifact.manifest.facts["onnxslim"].split(" nodes became "))
    assert after == artifact.manifest.facts["nodes"]
    assert after < before
    assert artifact.manifest.batch is None
    assert "slim" in form_of(artifact).split("-")


def test_transformer_fusions_are_operators_of_onnx_runtime_s_own(workspace: Workspace) -> None:
    import onnx

    artifact = artifact_of(exported(workspace, "onnx", TINY, fuse="transformer"))
    said = artifact.manifest.facts["transformer fusions"]
    assert "SkipLayerNormalization" in said
    domains = {node.domain for node in onnx.load(artifact.entry).graph.node}
    assert "com.microsoft" in domains
    assert "fused" in form_of(artifact).split("-")


def test_graph_without_a_transformer_has_nothing_to_fuse(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    spec = ExportSpec(batch=1, options={"fuse": "transformer"})
    with pytest.raises(DeployBenchError, match="found nothing to fuse"):
        OnnxExporter().export(module, torch.zeros(1, 3, 8, 8), spec, tmp_path)
    with pytest.raises(DeployBenchError, match="--precision fp16"):
        OnnxExporter().export(
            module,
            torch.zeros(1, 3, 8, 8),
            ExportSpec(precision="fp16", batch=1, options={"fuse": "transformer"}),
            tmp_path,
        )


def test_missing_onnxslim_is_said_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.exporters.onnx_optimised.find_spec", lambda name: None)
    module = torch.nn.Conv2d(3, 4, 3).eval()
    spec = ExportSpec(batch=1, options={"simplify": "onnxslim"})
    with pytest.raises(DeployBenchError, match="pip install onnxslim"):
        OnnxExporter().export(module, torch.zeros(1, 3, 8, 8), spec, tmp_path)


def test_reparameterised_model_has_fewer_weights_and_macs_and_the_same_identity(
    workspace: Workspace,
) -> None:
    """PyTorch's own artifact is built again by its recipe, branches joined: parity says so."""
    plain = artifact_of(exported(workspace, "pytorch", BRANCHED))
    joined = artifact_of(exported(workspace, "pytorch", BRANCHED, reparameterise=True))
    assert joined.manifest.model.parameters < plain.manifest.model.parameters
    assert joined.manifest.model.macs is not None
    assert plain.manifest.model.macs is not None
    assert joined.manifest.model.macs <= plain.manifest.model.macs
    assert joined.manifest.weights.identity == plain.manifest.weights.identity
    assert joined.manifest.key != plain.manifest.key
    assert form_of(joined) == f"{form_of(plain)}-reparameterised"


def test_reparameterised_graph_is_verified_against_the_author_s_form(workspace: Workspace) -> None:
    joined = artifact_of(exported(workspace, "torchscript", BRANCHED, reparameterise=True))
    assert joined.manifest.model.arguments["reparameterised"] is True


def test_model_without_branches_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="'mine' has nothing to reparameterise"):
        reparameterised("mine", torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))


def test_block_that_fails_is_a_refusal_in_its_own_words() -> None:
    class Broken(torch.nn.Module):
        def reparameterize(self) -> None:
            raise RuntimeError("no branches left")

    with pytest.raises(DeployBenchError, match="RuntimeError: no branches left"):
        reparameterised("mine", torch.nn.Sequential(Broken()))


def test_key_of_an_export_without_these_options_is_as_it_was() -> None:
    request = ExportRequest(model=ModelRequest(name=TINY), backend="onnx")
    assert OnnxExporter().default_options() == {}
    assert "options" not in request.model_dump(mode="json") or not request.options
