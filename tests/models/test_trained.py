"""What a training's folder says of its weights counts wherever they are loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError
from deploybench.export.identity import TensorsReply, contents_of
from deploybench.export.request import ModelRequest
from deploybench.models.checkpoint import read_checkpoint
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions
from deploybench.models.trained import TrainedModel, config_text, trained_model

MODEL = "timm:test_resnet"
SPEC = Preprocessing(
    channels=1,
    height=48,
    width=40,
    crop_fraction=1.0,
    interpolation="bilinear",
    mean=(0.25,),
    std=(0.125,),
    crop_mode="squash",
    color="grey",
    window=(0.0, 4095.0),
)
"""With what timm's own configuration has no words for."""
LABELS = ("dark", "middle", "light")


def trained(**changes: object) -> TrainedModel:
    found = TrainedModel(
        model=MODEL,
        num_classes=3,
        in_channels=1,
        image_size=(48, 40),
        preprocessing=SPEC,
        labels=LABELS,
        task="multi_class:logits",
        epoch=3,
        epochs=10,
        finished=True,
    )
    return found.replaced(**changes)


def folder(root: Path, described: TrainedModel | None = None) -> Path:
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=3, in_chans=1)
    root.mkdir()
    save_file(module.state_dict(), root / "model.safetensors")
    text = config_text(described or trained(), "test_resnet", {"in_chans": 1})
    (root / "config.json").write_text(text)
    return root


@pytest.mark.parametrize("file", ["", "model.safetensors"])
def test_classes_images_and_task_come_from_the_folder(file: str, tmp_path: Path) -> None:
    built, weights = load_model(
        MODEL, BuildOptions(), folder(tmp_path / "out") / file, allow_partial=False
    )
    assert built.num_classes == 3
    assert built.labels == LABELS
    assert built.preprocessing == SPEC
    assert built.task == "multi_class:logits"
    assert weights.remarks == ()


def test_what_is_asked_for_goes_before_it(tmp_path: Path) -> None:
    built, _ = load_model(
        MODEL,
        BuildOptions(image_size=(64, 64)),
        folder(tmp_path / "out"),
        allow_partial=False,
    )
    assert (built.preprocessing.height, built.preprocessing.width) == (64, 64)
    assert built.preprocessing.mean == SPEC.mean


def test_the_folder_is_one_of_a_model_hub_too(tmp_path: Path) -> None:
    out = folder(tmp_path / "out")
    built, _ = load_model(f"hub:{out}", BuildOptions(), None, allow_partial=False)
    assert built.labels == LABELS
    assert built.preprocessing == SPEC
    module = timm.create_model(f"local-dir:{out}", pretrained=True)
    assert module.num_classes == 3
    same = built.module.state_dict()
    assert all(torch.equal(tensor, same[name]) for name, tensor in module.state_dict().items())


def test_another_model_is_refused_although_the_tensors_fit(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", trained(model="timm:test_resnet.r160_in1k"))
    with pytest.raises(DeployBenchError) as caught:
        load_model(MODEL, BuildOptions(), out, allow_partial=False)
    assert "was trained as timm:test_resnet.r160_in1k" in caught.value.found
    moved = tmp_path / "weights.safetensors"
    moved.write_bytes((out / "model.safetensors").read_bytes())
    built, _ = load_model(MODEL, BuildOptions(in_channels=1), moved, allow_partial=False)
    assert built.labels is None


def test_an_unfinished_training_is_remarked_on(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", trained(finished=False))
    _, weights = load_model(MODEL, BuildOptions(), out, allow_partial=False)
    assert weights.remarks == ("of a training that had not ended: the best of 3 of 10 epochs",)


def test_what_does_not_read_is_refused_and_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    out = folder(tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "deploybench": {"model": 3}}))
    with pytest.raises(DeployBenchError, match="does not read as what a training wrote"):
        trained_model(out)
    (out / "config.json").write_text("{}")
    assert trained_model(out) is None
    (out / "config.json").write_text("no JSON")
    assert trained_model(out) is None


def test_an_export_of_the_same_weights_with_another_description_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tensors are the same; they would be hashed in a process of its own.
    same = TensorsReply(sha256="of the tensors")
    monkeypatch.setattr("deploybench.export.identity._of_tensors", lambda *asked: same)
    out = folder(tmp_path / "out")
    request = ModelRequest(name=MODEL, checkpoint=str(out))
    before = contents_of(request)
    (out / "config.json").write_text(
        config_text(trained(preprocessing=SPEC.replaced(mean=(0.5,))), "test_resnet", {})
    )
    assert contents_of(request) != before


def test_safetensors_whose_length_begins_like_a_pickle_are_read_as_what_they_are(
    tmp_path: Path,
) -> None:
    """0x80 and a small number: so begins a pickle, and the length of a header of 640 bytes, which
    a small model has."""
    path = tmp_path / "model.safetensors"
    for count in range(1, 40):
        save_file({f"layer{number}.weight": torch.ones(number) for number in range(count)}, path)
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[:2] in [bytes([0x80, high]) for high in range(6)]
    assert len(read_checkpoint(path).tensors) == count
