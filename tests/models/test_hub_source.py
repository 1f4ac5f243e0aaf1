"""Folders as model hubs lay them out, of timm and of transformers, are a source of models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import save_for_hf

from deploybench.data.preprocess import load_image
from deploybench.data.preprocessing_options import PARTS
from deploybench.errors import DeployBenchError
from deploybench.models.hub_source import HubSource
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions, BuiltModel, find_source
from deploybench.models.transformers_images import preprocessing_of_folder

NO_SOURCE = "refused: the module 'hub' cannot be found"
CATS = ["tabby", "persian", "siamese"]


def load(folder: Path, **options: Any) -> tuple[BuiltModel, Any]:
    return load_model(f"hub:{folder}", BuildOptions(**options), None, allow_partial=False)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of timm's with its own normalisation and labels, as timm saves it for a hub."""
    folder = tmp_path_factory.mktemp("timm-folder")
    torch.manual_seed(1)
    model = timm.create_model("test_resnet", num_classes=3)
    save_for_hf(model, str(folder), {"label_names": CATS}, safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.8}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.trust(
    item=5,
    case="a folder of timm's, config.json and model.safetensors",
    before=NO_SOURCE,
    now="--model hub:FOLDER, with its weights, labels and preprocessing",
)
def test_a_folder_of_timm_s_is_built_with_its_weights_labels_and_preprocessing(
    timm_folder: Path,
) -> None:
    built, weights = load(timm_folder)

    torch.manual_seed(1)
    wanted = timm.create_model("test_resnet", num_classes=3).state_dict()
    for key, value in built.module.state_dict().items():
        assert torch.equal(value, wanted[key]), key
    assert built.labels == tuple(CATS)
    assert built.preprocessing.mean == (0.1, 0.2, 0.3)
    assert built.preprocessing.std == (0.4, 0.5, 0.6)
    assert built.preprocessing.crop_fraction == 0.8
    assert weights.kind == "checkpoint"
    assert weights.loaded == len(wanted)


def test_the_identity_is_the_content_of_the_folder(timm_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.safetensors"):
        (copy / name).write_bytes((timm_folder / name).read_bytes())
    source = HubSource()
    first = source.identity(str(timm_folder))

    assert source.identity(str(copy)) == first
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert source.identity(str(copy)) != first


def test_the_prefix_leads_to_the_source(timm_folder: Path) -> None:
    source, name = find_source(f"hub:{timm_folder}")
    assert isinstance(source, HubSource)
    assert name == str(timm_folder)
    source.check(name)


@pytest.mark.trust(
    item=5,
    case="the name of a repository in place of a folder",
    before=NO_SOURCE,
    now="refused: hf download first; nothing is downloaded here",
)
def test_what_is_no_folder_is_refused_with_how_to_get_it() -> None:
    with pytest.raises(DeployBenchError, match="there is no folder") as refusal:
        HubSource().check("google/vit-base-patch16-224")
    assert "--local-dir" in (refusal.value.action or "")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "holds a BertForMaskedLM"),
        ({"architectures": ["ViTForImageClassification"], "auto_map": {"x": "y"}}, "its own code"),
        ({"hidden_size": 3}, "names no architecture"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DeployBenchError, match=words):
        HubSource().build(str(tmp_path), BuildOptions())


@pytest.mark.trust(
    item=5,
    case="a folder of transformers' where transformers is not installed",
    before=NO_SOURCE,
    now="refused with how to install it",
)
def test_without_transformers_its_folders_are_refused_with_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["ViTForImageClassification"]}')
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(DeployBenchError) as refusal:
        HubSource().build(str(tmp_path), BuildOptions())
    assert "pip install" in (refusal.value.action or "")


SMALL: dict[str, dict[str, Any]] = {
    "ViT": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    },
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]},
    "ConvNext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
}
CROPPED = {
    "image_processor_type": "BitImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 40},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
}


@pytest.fixture(params=SMALL)
def transformers_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A small classifier with random weights, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    kind = request.param
    config = getattr(transformers, f"{kind}Config")(
        **SMALL[kind],
        num_labels=3,
        id2label=dict(enumerate(CATS)),
        label2id={name: index for index, name in enumerate(CATS)},
    )
    torch.manual_seed(1)
    model = getattr(transformers, f"{kind}ForImageClassification")(config)
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CROPPED))
    return tmp_path


@pytest.mark.trust(
    item=5,
    case="a folder of transformers' image classifiers (ViT, ResNet, ConvNeXt)",
    before=NO_SOURCE,
    now="--model hub:FOLDER gives its logits, labels and preprocessing",
)
def test_a_folder_of_transformers_gives_its_logits_labels_and_preprocessing(
    transformers_folder: Path,
) -> None:
    transformers = pytest.importorskip("transformers")
    built, weights = load(transformers_folder)

    images = torch.randn(2, 3, 32, 32)
    own = transformers.AutoModelForImageClassification.from_pretrained(
        transformers_folder, local_files_only=True
    ).eval()
    with torch.no_grad():
        assert torch.equal(built.module(images), own(images).logits)
    assert weights.random_parameters == 0
    assert built.labels == tuple(CATS)
    assert built.preprocessing.interpolation == "bicubic"
    assert built.preprocessing.mean == (0.5, 0.4, 0.3)
    assert (built.preprocessing.height, built.preprocessing.crop_fraction) == (32, 0.8)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rescale_factor": 1.0}, "scaled otherwise"),
        ({"resample": 1}, "resampling filter 1"),
        ({"do_center_crop": False}, "without a crop"),
        ({"do_resize": False}, "at whatever size"),
        (None, "nothing says what the model's images are"),
    ],
)
def test_preprocessing_that_has_no_words_here_is_refused(
    changed: dict[str, Any] | None, words: str, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    if changed is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(CROPPED | changed))
    with pytest.raises(DeployBenchError, match=words):
        preprocessing_of_folder(tmp_path, SimpleNamespace(num_channels=3), None)


SIZES: dict[str, dict[str, Any]] = {
    "ViT": {"size": {"height": 32, "width": 32}, "resample": 2},
    "ViT, from when sizes had no names": {
        "feature_extractor_type": "ViTFeatureExtractor",
        "size": 32,
    },
    "ConvNeXt and ResNet, from when sizes had no names": {
        "feature_extractor_type": "ConvNextFeatureExtractor",
        "size": 32,
        "crop_pct": 0.8,
    },
    "ConvNeXt without a crop_pct": {
        "image_processor_type": "ConvNextImageProcessor",
        "size": {"shortest_edge": 32},
    },
    "DINOv2": {
        "image_processor_type": "BitImageProcessor",
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
    "DeiT": {
        "feature_extractor_type": "DeiTFeatureExtractor",
        "size": 40,
        "do_center_crop": True,
        "crop_size": 32,
    },
    "LeViT": {
        "image_processor_type": "LevitImageProcessor",
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
    "MobileViT": {
        "image_processor_type": "MobileViTImageProcessor",
        "size": {"shortest_edge": 40},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "do_flip_channel_order": True,
        "do_normalize": False,
    },
}


def processor_folder(folder: Path, changes: dict[str, Any]) -> Path:
    """A folder with the configuration of an image processor, without a model."""
    usual = {key: CROPPED[key] for key in ("do_resize", "resample", "image_mean", "image_std")}
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "config.json").write_text('{"model_type": "vit"}')
    (folder / "preprocessor_config.json").write_text(json.dumps(usual | changes))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            changes,
            marks=pytest.mark.trust(
                item=5,
                case=f"the images of a folder of transformers: {kind}",
                before=NO_SOURCE,
                now="prepared as its own image processor prepares them, to 1/255",
            ),
            id=kind,
        )
        for kind, changes in SIZES.items()
    ],
)
def test_preprocessing_gives_what_the_folders_own_processor_gives(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = processor_folder(tmp_path, changes)
    picture = Image.radial_gradient("L").resize((70, 50))
    picture = Image.merge("RGB", (picture, picture.rotate(90), picture.rotate(180)))
    picture.save(tmp_path / "picture.png")

    spec = preprocessing_of_folder(folder, SimpleNamespace(num_channels=3), None)

    own = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    wanted = np.asarray(own(images=picture, return_tensors="np")["pixel_values"])[0]
    found = load_image(tmp_path / "picture.png", spec)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 0.03
    assert spec.assumed == ()


@pytest.mark.trust(
    item=5,
    case="the images of a folder of transformers: PoolFormer, with a crop of its own",
    before=NO_SOURCE,
    now="refused: its own image processor does what is not known here",
)
def test_processor_that_does_something_else_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    changes = {
        "image_processor_type": "PoolFormerImageProcessor",
        "size": {"shortest_edge": 32},
        "crop_pct": 0.9,
        "crop_size": {"height": 32, "width": 32},
    }
    folder = processor_folder(tmp_path, changes)
    with pytest.raises(DeployBenchError, match="what only PoolFormerImageProcessor"):
        preprocessing_of_folder(folder, SimpleNamespace(num_channels=3), None)


def test_preprocessing_that_no_processor_was_asked_about_is_assumed(tmp_path: Path) -> None:
    squashed = {"image_processor_type": "OfAnotherVersion", "size": {"height": 32, "width": 32}}
    folder = processor_folder(tmp_path, squashed)
    (folder / "config.json").write_text('{"model_type": "of-another-version"}')
    spec = preprocessing_of_folder(folder, SimpleNamespace(num_channels=3), (48, 48))
    assert spec.crop_mode == "squash"
    assert (spec.height, spec.width) == (48, 48)
    assert spec.assumed == PARTS


@pytest.mark.trust(
    item=14,
    case="a folder of transformers whose problem_type is multi_label_classification",
    before=NO_SOURCE,
    now="multi_label, found in its configuration: predict applies sigmoids",
)
def test_problem_type_of_a_folder_is_its_task(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    processor_folder(tmp_path, SIZES["ViT"])
    config = transformers.ViTConfig(**SMALL["ViT"], problem_type="multi_label_classification")
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    assert HubSource().build(str(tmp_path), BuildOptions()).task == "multi_label"


def test_nothing_is_assumed_of_a_folder_that_says_what_its_images_are(timm_folder: Path) -> None:
    from deploybench.export.assumptions import settled_preprocessing
    from deploybench.export.request import ModelRequest

    built, weights = load(timm_folder)
    asked = ModelRequest(name=f"hub:{timm_folder}")
    assert settled_preprocessing(built, weights, asked).assumed == ()
