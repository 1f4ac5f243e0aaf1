"""The same weights under another file name, or with other labels, are one artifact."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.artifacts.workspace import Workspace
from deploybench.export import pipeline
from deploybench.export.identity import contents_of
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions

MODEL = "timm:test_efficientnet"
CLASSES = 3


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    built, _ = load_model(MODEL, BuildOptions(num_classes=CLASSES), None, allow_partial=False)
    return dict(built.module.state_dict())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.prepare()
    return made


def export(workspace: Workspace, **model: object) -> ExportResult:
    request = ExportRequest(
        model=ModelRequest.model_validate({"name": MODEL, "image_size": (64, 64), **model}),
        backend="pytorch",
    )
    return export_one(request, workspace, ExportOptions())


def write_names(path: Path, *names: str) -> str:
    path.write_text("\n".join(names))
    return str(path)


def test_the_content_is_the_tensors_whatever_file_they_are_in(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "b.pth")
    save_file(state, tmp_path / "c.safetensors")
    other = {**state, "classifier.bias": state["classifier.bias"] + 1}
    torch.save(other, tmp_path / "other.pth")

    today = [
        contents_of(ModelRequest(name=MODEL, checkpoint=str(tmp_path / name)))[0]
        for name in ("a.pth", "b.pth", "c.safetensors", "other.pth")
    ]

    assert sha256_of_file(tmp_path / "a.pth") != sha256_of_file(tmp_path / "b.pth")
    assert today[0] == today[1] == today[2]
    assert today[0] != today[3]


def test_a_checkpoint_that_does_not_read_counts_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "text.pth"
    path.write_text("no checkpoint")

    contents = contents_of(ModelRequest(name=MODEL, checkpoint=str(path)))

    assert contents == [{"checkpoint": sha256_of_file(path)}]


def test_the_same_weights_under_another_name_are_the_artifact_that_is_there(
    state: dict[str, torch.Tensor], workspace: Workspace, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "first.pth")
    save_file(state, tmp_path / "second.safetensors")

    first = export(workspace, checkpoint=str(tmp_path / "first.pth"))
    second = export(workspace, checkpoint=str(tmp_path / "second.safetensors"))

    assert first.ok, first.error
    assert second.reused
    assert second.artifact == first.artifact
    assert second.artifact is not None
    assert second.artifact.manifest.weights.source == str(tmp_path / "first.pth")
    assert second.remark is not None
    assert "second.safetensors holds the weights" in second.remark
    assert len(workspace.artifacts()) == 1


def test_other_labels_replace_those_of_the_artifact_and_nothing_else(
    workspace: Workspace, tmp_path: Path
) -> None:
    cats = write_names(tmp_path / "cats.txt", "tabby", "persian", "siamese")
    dogs = write_names(tmp_path / "dogs.txt", "beagle", "boxer", "collie")
    first = export(workspace, num_classes=CLASSES, labels=cats)
    assert first.artifact is not None, first.error
    weights = first.artifact.entry.stat()

    second = export(workspace, num_classes=CLASSES, labels=dogs)
    unasked = export(workspace, num_classes=CLASSES)

    assert second.reused
    assert second.artifact is not None
    assert second.artifact.labels() == ["beagle", "boxer", "collie"]
    second.artifact.check_files()
    assert second.artifact.manifest.verified
    assert second.artifact.manifest.key == first.artifact.manifest.key
    assert second.artifact.manifest.created == first.artifact.manifest.created
    assert "dogs.txt" in second.artifact.manifest.command
    assert second.artifact.entry.stat().st_size == weights.st_size
    assert second.remark is not None
    assert f"they are now those of {dogs}" in second.remark
    assert unasked.reused
    assert unasked.remark is None
    assert unasked.artifact is not None
    assert unasked.artifact.labels() == ["beagle", "boxer", "collie"]
    assert len(workspace.artifacts()) == 1
    left = [path.name for path in workspace.artifacts_folder.iterdir()]
    assert left == ["timm-test_efficientnet"]


def test_labels_of_another_length_are_refused_and_the_artifact_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    first = export(workspace, num_classes=CLASSES)
    two = write_names(tmp_path / "two.txt", "one", "two")

    second = export(workspace, num_classes=CLASSES, labels=two)

    assert second.error is not None
    assert "has 2 names" in str(second.error)
    assert first.artifact is not None
    first.artifact.check_files()


def test_an_artifact_under_an_earlier_key_is_still_found(
    state: dict[str, torch.Tensor],
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.save(state, tmp_path / "c.pth")
    names = write_names(tmp_path / "names.txt", "a", "b", "c")
    asked = {"checkpoint": str(tmp_path / "c.pth"), "labels": names}
    before = {
        "checkpoint": sha256_of_file(tmp_path / "c.pth"),
        "labels": sha256_of_file(tmp_path / "names.txt"),
    }
    with monkeypatch.context() as earlier:
        earlier.setattr(pipeline, "contents_of", lambda model: [before])
        first = export(workspace, **asked)

    second = export(workspace, **asked)

    assert first.ok, first.error
    assert second.reused
    assert second.artifact == first.artifact
    assert json.loads((second.artifact.path / "labels.json").read_text()) == ["a", "b", "c"]  # type: ignore[union-attr]
