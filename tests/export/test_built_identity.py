"""What a factory builds is the identity of what is exported from it; its weights stay as they
are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import predict_images
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.models.identity import look
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions, find_source
from deploybench.report.export_table import export_report
from tests.models.user_factories import write_factories, write_weights

SIZE = (32, 32)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Beside the user's own files, in the folder where a command is given."""
    write_factories(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = Workspace(tmp_path / "workspace")
    made.prepare()
    return made


def export(workspace: Workspace, factory: str, backend: str = "torchscript") -> ExportResult:
    request = ExportRequest(
        model=ModelRequest(name=f"factories:{factory}", image_size=SIZE), backend=backend
    )
    return export_one(request, workspace, ExportOptions())


def made_by(result: ExportResult) -> Artifact:
    assert result.artifact is not None, result.error
    assert result.ok, result.artifact.manifest.parity_note
    return result.artifact


def rerun(workspace: Workspace, factory: str) -> tuple[ExportResult, ExportResult]:
    first = export(workspace, factory)
    made_by(first)
    second = export(workspace, factory)
    return first, second


@pytest.mark.trust(
    item=1,
    case="softmax over 1,000 classes inside the model",
    before="its weights replaced by random ones, 'verified', weights 'random weights'",
    now="its own weights; parity is relative to what its outputs differ by",
)
def test_weights_of_a_factory_stay_however_little_its_outputs_differ(workspace: Workspace) -> None:
    artifact = made_by(export(workspace, "wide", "pytorch"))

    assert artifact.manifest.weights.kind == "factory"
    parity = artifact.manifest.parity
    assert parity is not None
    assert parity.spread is not None
    assert parity.spread < 1e-4
    assert parity.weak == ""


@pytest.mark.trust(
    item=1,
    case="outputs that do not depend on the image",
    before="verified, without a word that any image gives one and the same answer",
    now="its own weights; 'verified, weakly', with the reason",
)
def test_parity_on_outputs_without_spread_is_called_weak(workspace: Workspace) -> None:
    result = export(workspace, "nearly_constant")

    manifest = made_by(result).manifest
    assert manifest.weights.kind == "factory"
    assert manifest.parity is not None
    assert "one and the same answer" in manifest.parity.weak
    assert manifest.parity.images > 8  # more images were asked before it was said
    assert "weakly" in str(export_report([result]).sections)


@pytest.mark.usefixtures("workspace")
def test_weights_are_not_touched_whatever_they_put_out() -> None:
    built, weights = load_model("factories:wide", BuildOptions(), None, allow_partial=False)

    assert weights.kind == "factory"
    torch.manual_seed(7)
    expected = torch.nn.Conv2d(3, 8, 3, stride=4).weight
    assert torch.equal(built.module.state_dict()["stem.weight"], expected)


@pytest.mark.trust(
    item=2,
    case="a factory that loads best.pth, trained on",
    before="'verified, already there' with the weights of before",
    now="exported again",
)
def test_other_weights_in_a_file_that_the_factory_loads_are_another_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    first, second = rerun(workspace, "loads")
    write_weights(tmp_path, seed=2)
    third = export(workspace, "loads")

    assert second.reused
    assert not third.reused
    assert made_by(third).manifest.weights.sha256 != made_by(first).manifest.weights.sha256


@pytest.mark.trust(
    item=2,
    case="an edit in a module beside the factory's",
    before="'verified, already there' with the code of before",
    now="exported again",
)
def test_an_edit_in_a_sibling_module_is_another_artifact(
    workspace: Workspace, tmp_path: Path
) -> None:
    _, second = rerun(workspace, "loads")
    (tmp_path / "siblings.py").write_text("def after(x):\n    return 3 * x\n")
    third = export(workspace, "loads")

    assert second.reused
    assert not third.reused


@pytest.mark.trust(
    item=2,
    case="a number that the factory reads from a file (a scale)",
    before="'verified, already there' with the number of before",
    now="exported again",
)
def test_another_plain_attribute_is_another_artifact(workspace: Workspace, tmp_path: Path) -> None:
    _, second = rerun(workspace, "configured")
    (tmp_path / "scale.json").write_text("2.5")
    third = export(workspace, "configured")

    assert second.reused
    assert not third.reused


def test_a_factory_that_draws_its_weights_says_so(workspace: Workspace) -> None:
    first, second = rerun(workspace, "draws")

    assert second.reused
    assert made_by(first).manifest.weights.source.endswith("random from seed 0")
    assert "draws its weights" in str(export_report([first]).sections)


@pytest.mark.trust(
    item=2,
    case="a factory that builds other weights at each call",
    before="each backend's artifact 'verified' with weights of its own",
    now="refused: seed what draws them",
)
def test_a_factory_that_cannot_be_seeded_is_refused(workspace: Workspace) -> None:
    result = export(workspace, "unseedable")

    assert result.error is not None
    assert "other weights at each call" in result.error.found


@pytest.mark.trust(
    item=2,
    case="predict with an eager artifact whose code was edited since",
    before="an answer of the new code: class 4 in place of class 1, without a word",
    now="refused, with the module's name",
)
@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("siblings.py", "def after(x):\n    return -x\n", "the code of siblings differs"),
        ("scale.json", "2.5", "the module that it builds"),
    ],
)
def test_code_that_was_not_verified_gives_no_answer(
    workspace: Workspace, tmp_path: Path, file: str, content: str, words: str
) -> None:
    artifact = made_by(export(workspace, "configured", "pytorch"))
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(picture)
    for module in ("factories", "siblings"):
        sys.modules.pop(module, None)
    assert predict_images(artifact.path, [picture], threads=1)

    (tmp_path / file).write_text(content)
    for module in ("factories", "siblings"):
        sys.modules.pop(module, None)
    with pytest.raises(DeployBenchError, match=words):
        predict_images(artifact.path, [picture], threads=1)


@pytest.mark.trust(
    item=2,
    case="predict on a runtime that no longer computes what was verified",
    before="its answer, without a word (class 4 at 100 % in place of class 1 at 65 %)",
    now="refused: parity is proved before the first answer",
)
def test_predict_proves_parity_before_the_first_answer(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploybench.runners.torch_session import TorchSession

    artifact = made_by(export(workspace, "configured", "torchscript"))
    picture = tmp_path / "picture.png"
    Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(picture)
    right = TorchSession._infer

    def wrong(self: TorchSession, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: 1.1 * output for name, output in right(self, inputs).items()}

    monkeypatch.setattr(TorchSession, "_infer", wrong)
    with pytest.raises(DeployBenchError, match=r"does not answer here as it did.*parity"):
        predict_images(artifact.path, [picture], threads=1)


def test_names_and_versions_decide_what_the_zoo_and_timm_build() -> None:
    for model in ("resnet50", "timm:test_vit"):
        source, name = find_source(model)
        assert not source.must_be_looked_at(name)


@pytest.mark.usefixtures("workspace")
def test_a_look_finds_the_same_twice() -> None:
    source, name = find_source("factories:configured")
    first = look(source, name, BuildOptions(image_size=SIZE))

    assert look(source, name, BuildOptions(image_size=SIZE)).sha256 == first.sha256
    assert {"factories", "siblings"} <= set(first.code)
    assert not first.random
