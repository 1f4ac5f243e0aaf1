"""The source of an artifact: it is the one that was exported, or it is refused with why."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.demo.answers import overlay_of
from deploybench.demo.questions import Looked, Map, Seen, SeenClass
from deploybench.demo.sides import Sides, choices_in
from deploybench.demo.source import source_of
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest
from tests.conftest import rewrite_manifest

MODEL = "timm:test_vit"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One ONNX artifact of a tiny vision transformer with a checkpoint."""
    import torch

    from deploybench.models.loading import load_model
    from deploybench.models.source import BuildOptions

    folder = tmp_path_factory.mktemp("source")
    built, _ = load_model(MODEL, BuildOptions(num_classes=4), None, allow_partial=False)
    torch.save(built.module.state_dict(), folder / "weights.pth")
    made = Workspace(folder / "workspace")
    made.prepare()
    model = ModelRequest(name=MODEL, checkpoint=str(folder / "weights.pth"), num_classes=4)
    request = ExportRequest(model=model, backend="onnx")
    (result,) = export_all([request], made, ExportOptions(jobs=1))
    assert result.ok, result.error
    return made


@pytest.fixture
def artifact(workspace: Workspace) -> Artifact:
    (found,) = workspace.artifacts()
    return found


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("images") / "noise.png"
    pixels = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_source_answers_as_the_artifact_and_shows_attention_and_grad_cam(
    workspace: Workspace, image: Path
) -> None:
    (choice,) = [one for one in choices_in(workspace) if one.runner == "onnxruntime"]
    with Sides([choice], threads=1) as sides:
        seen = sides.look(choice.name, image, 4)
        looked = sides.look_inside(choice.name, image)
        assert looked.error is None
        assert {"Grad-CAM", "rollout"} <= {one.name for one in looked.maps}
        assert looked.first is not None
        assert looked.first.name == seen.classes[0].name
        # Its process is the second one, and both rest.
        assert len(sides._loaded) == 2
        assert sides.same_source(choice.name, choice.name)

        shown = overlay_of(looked, seen, "Grad-CAM")
        assert shown.picture is not None
        assert shown.picture.shape[2] == 3
        assert "the artifact's first class" in shown.words
        assert "rollout" in overlay_of(looked, seen, "attention").words
        assert sides.look_inside(choice.name, image.with_name("none.png")).error
        assert "there is no" in (sides.look_inside("another", image).error or "")


def test_source_that_is_no_more_what_was_exported_is_refused(
    artifact: Artifact, tmp_path: Path
) -> None:
    import shutil

    import torch

    checkpoint = Path(artifact.manifest.request["model"]["checkpoint"])
    assert source_of(artifact, trust=False) is not None
    state = torch.load(checkpoint)
    other = tmp_path / "other.pth"
    torch.save({name: tensor * 1.01 for name, tensor in state.items()}, other)
    copy = tmp_path / "artifact"
    for path, words in (
        (other, "holds other weights now"),
        (tmp_path / "gone.pth", "its checkpoint is no more at"),
    ):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(artifact.path, copy)
        asked = dict(artifact.manifest.request)
        asked["model"] = {**asked["model"], "checkpoint": str(path)}
        rewrite_manifest(copy, request=asked)
        with pytest.raises(DeployBenchError, match=words):
            source_of(open_artifact(copy), trust=False)
    shutil.rmtree(copy)
    shutil.copytree(artifact.path, copy)
    rewrite_manifest(copy, request={"model": {"name": 3}})
    with pytest.raises(DeployBenchError, match="does not say how its model is built"):
        source_of(open_artifact(copy), trust=False)


def test_code_of_others_is_not_run_for_an_overlay(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = tmp_path / "artifact"
    shutil.copytree(artifact.path, copy)
    ran = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()")
    monkeypatch.syspath_prepend(tmp_path)
    asked = {**artifact.manifest.request, "model": {"name": "evil:model"}}
    changed = artifact.manifest.model_copy(update={"request": asked}).sealed()
    (copy / "manifest.json").write_text(changed.model_dump_json())
    with pytest.raises(DeployBenchError, match="made elsewhere and would have to run"):
        source_of(open_artifact(copy), trust=False)
    assert not ran.exists()


def test_what_cannot_be_shown_is_said() -> None:
    seen = Seen(classes=(SeenClass(name="cat (1)", score=0.9),))
    cam = Map(name="Grad-CAM", what="at layer", limits="Evidence.", png="")
    without = Looked(maps=(cam,), notes=("the model has no attention\x1b[2J",))
    words = overlay_of(without, seen, "attention").words
    assert words == "No attention to show: the model has no attention\\x1b[2J."
    refused = overlay_of(Looked(error="its checkpoint is no more at /x"), seen, "Grad-CAM")
    assert refused.words == "No overlay: its checkpoint is no more at /x"
    assert refused.picture is None
    assert "no answer" in overlay_of(without, Seen(error="broken"), "Grad-CAM").words


def test_another_first_class_of_the_source_is_said() -> None:
    from deploybench.demo.answers import _agreeing

    seen = Seen(classes=(SeenClass(name="cat (1)", score=0.9),))
    other = Looked(first=SeenClass(name="dog (2)", score=0.8))
    assert _agreeing(other, seen) == (
        "The PyTorch source has another first class: dog (2), the artifact cat (1)."
    )
