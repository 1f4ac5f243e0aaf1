"""Names resolve to models; options are honoured or refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from deploybench.errors import DeployBenchError
from deploybench.models.counting import count_model
from deploybench.models.loading import SingleOutput, load_model
from deploybench.models.python_source import (
    add_current_folder,
    load_factory,
    torchvision_preprocessing,
)
from deploybench.models.source import BuildOptions, find_source
from deploybench.models.zoo import ZOO

FACTORY = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=7, in_channels=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3)
        self.head = nn.Linear(4, num_classes)
    def forward(self, x):
        return {"logits": self.head(self.conv(x).mean((2, 3))), "aux": x}

def make(num_classes=7, in_channels=1):
    return Net(num_classes, in_channels)

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3

def fixed():
    return Net()
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        ("vit-small", 22_050_664, 4_598_882_304),
        ("vit-tiny", 5_717_416, None),
        ("resnet50", 25_557_032, 4_089_184_256),
        ("xcit", 26_253_304, None),
        ("efficientnet-b0", 5_288_548, 385_814_752),
        ("efficientnet-b1", 7_794_184, None),
    ],
)
def test_zoo_model_has_the_published_size(name: str, parameters: int, macs: int | None) -> None:
    found = count_model(name)
    assert found.parameters == parameters
    assert macs is None or found.macs.total == macs


def test_efficientnets_have_their_native_resolutions() -> None:
    sizes = [ZOO[f"efficientnet-b{index}"].image_size for index in range(8)]
    assert sizes == [224, 240, 260, 300, 380, 456, 528, 600]


@pytest.mark.parametrize("name", ["vitt", "resnet5O"])
def test_unknown_short_name_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        find_source(name)
    assert "did you mean" in str(refusal.value.expected)


def test_image_size_reaches_a_vit_and_its_preprocessing() -> None:
    built, _ = load_model(
        "timm:test_vit", BuildOptions(image_size=(96, 96)), None, allow_partial=False
    )
    assert (built.preprocessing.height, built.preprocessing.width) == (96, 96)
    assert built.module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)


def test_channels_and_classes_reach_a_timm_model() -> None:
    built, _ = load_model(
        "timm:test_resnet", BuildOptions(num_classes=10, in_channels=1), None, allow_partial=False
    )
    assert built.preprocessing.channels == len(built.preprocessing.mean) == 1
    assert built.module(torch.zeros(1, 1, 160, 160)).shape == (1, 10)


def test_size_that_the_architecture_cannot_take_is_refused() -> None:
    with pytest.raises(DeployBenchError, match=r"97 x 97.*divisible"):
        load_model("timm:test_vit", BuildOptions(image_size=(97, 97)), None, allow_partial=False)


@pytest.mark.usefixtures("factories")
def test_factory_gets_the_arguments_that_it_takes_and_its_first_output_counts() -> None:
    built, weights = load_model(
        "mynets:make", BuildOptions(num_classes=5, image_size=(32, 48)), None, allow_partial=False
    )
    module = SingleOutput(built.module, torch.float32)
    assert module(torch.zeros(2, 1, 32, 48)).shape == (2, 5)
    assert weights.kind == "factory"


@pytest.mark.usefixtures("factories")
def test_weights_that_a_factory_loaded_are_left_as_they_are() -> None:
    import mynets  # type: ignore[import-not-found]

    torch.manual_seed(0)
    expected = mynets.make().eval().state_dict()
    built, weights = load_model("mynets:make", BuildOptions(), None, allow_partial=False)
    assert weights.label == "factory mynets:make"
    assert all(
        torch.equal(value, expected[key]) for key, value in built.module.state_dict().items()
    )


@pytest.mark.usefixtures("factories")
def test_change_of_any_file_of_a_package_changes_its_identity() -> None:
    Path("nets/deep").mkdir(parents=True)
    for name in (
        "nets/__init__.py",
        "nets/deep/__init__.py",
        "nets/deep/build.py",
        "nets/layers.py",
    ):
        Path(name).write_text("x = 1")
    source, own = find_source("nets.deep.build:make")
    before = source.identity(own)
    Path("nets/layers.py").write_text("x = 2")
    assert source.identity(own) != before


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mynets:broken", BuildOptions(), "no weights here"),
        ("mynets:number", BuildOptions(), "returned a int"),
        ("mynets:absent", BuildOptions(), "cannot be loaded"),
        ("mynets:fixed", BuildOptions(num_classes=5), "takes no argument 'num_classes'"),
        ("mynets:make", BuildOptions(pretrained=True), "--pretrained"),
    ],
)
def test_factory_that_cannot_be_used_is_refused(
    name: str, options: BuildOptions, words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        load_model(name, options, None, allow_partial=False)


def test_pretrained_without_a_network_says_so_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DeployBenchError) as refusal:
        load_model("timm:test_vit", BuildOptions(pretrained=True), None, allow_partial=False)
    assert "network" in str(refusal.value.expected)
    assert "--checkpoint" in str(refusal.value.action)


def test_current_folder_takes_nothings_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    add_current_folder()
    add_current_folder()
    assert sys.path[-1] == str(tmp_path)
    assert sys.path.count(str(tmp_path)) == 1


def test_own_module_with_the_name_of_an_installed_one_is_refused_with_both_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "statistics.py").write_text("def make(): ...")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(DeployBenchError, match="hides") as caught:
        load_factory("statistics:make")
    assert str(tmp_path / "statistics.py") in caught.value.found
    assert "rename" in str(caught.value.action)


def test_torchvision_model_has_the_size_and_the_transform_of_its_own_weights() -> None:
    source, name = find_source("torchvision.models:inception_v3")
    native = source.build(name, BuildOptions()).preprocessing
    assert (native.height, native.width) == (299, 299)
    assert (native.crop_fraction, native.interpolation) == (299 / 342, "bilinear")
    asked = torchvision_preprocessing(load_factory(name), (128, 96))
    assert asked is not None
    assert (asked.height, asked.width) == (128, 96)


def test_factory_of_nobody_elses_has_no_transform_of_torchvisions() -> None:
    assert torchvision_preprocessing(lambda: None, None) is None
    assert torchvision_preprocessing(load_factory("torchvision.models:ResNet"), None) is None
