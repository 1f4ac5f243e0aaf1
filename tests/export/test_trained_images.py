"""A checkpoint's images are prepared as those of its training, where it carries the arguments."""

from __future__ import annotations

import argparse
import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from deploybench.artifacts.workspace import Workspace
from deploybench.export.assumptions import settled_preprocessing
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.models.checkpoint import read_checkpoint
from deploybench.models.loading import load_model, tensors_taken
from deploybench.models.source import BuildOptions

MODEL = "timm:test_vit"
SIDE = 96
IN_SILENCE = "verified with timm's size, crop, mean and deviation, and not a word of it"
TIMMS: dict[str, Any] = {
    "model": "test_vit",
    "img_size": SIDE,
    "input_size": None,
    "crop_pct": 0.75,
    "interpolation": "bilinear",
    "mean": [0.1, 0.2, 0.3],
    "std": [0.4, 0.5, 0.6],
    "lr": 0.1,
}


class Attributes(collections.OrderedDict[str, Any]):
    """As Lightning's hyper-parameters: a mapping with a class of its own."""


def checkpoint(path: Path, name: str, arguments: object) -> Path:
    torch.manual_seed(1)
    module = timm.create_model("test_vit", num_classes=3, img_size=SIDE)
    torch.save({"state_dict": module.state_dict(), "epoch": 3, name: arguments}, path)
    return path


@pytest.mark.trust(
    item=15,
    case="timm's training checkpoint with args (img_size, crop_pct, interpolation, mean, std)",
    before="refused: 'Unsupported global: argparse.Namespace'",
    now="exported with that size and preprocessing, and nothing assumed",
)
def test_arguments_of_a_training_prepare_the_images_of_the_export(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "last.pth.tar", "args", argparse.Namespace(**TIMMS))
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    model = ModelRequest(name=MODEL, checkpoint=str(path))

    result = export_one(ExportRequest(model=model, backend="pytorch"), workspace, ExportOptions())

    assert result.ok, result.error
    assert result.artifact is not None
    manifest = result.artifact.manifest
    spec = manifest.preprocessing
    assert (spec.height, spec.width) == (SIDE, SIDE)
    assert (spec.crop_fraction, spec.interpolation) == (0.75, "bilinear")
    assert spec.mean == (0.1, 0.2, 0.3)
    assert spec.std == (0.4, 0.5, 0.6)
    assert spec.assumed == ()
    assert [line for line in manifest.assumed if not line.startswith("task")] == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param(
            "hyper_parameters",
            {"image_size": SIDE, "mean": np.array([0.1, 0.2, 0.3]), "std": torch.full((3,), 0.5)},
            marks=pytest.mark.trust(
                item=15,
                case="hyper-parameters in a checkpoint, the mean an array, the deviation a tensor",
                before="refused: 'Unsupported global: numpy._core.multiarray._reconstruct'",
                now="read as the lists that they are",
            ),
            id="arrays",
        ),
        pytest.param("hparams", Attributes(image_size=SIDE, mean=[0.1, 0.2, 0.3]), id="own-class"),
    ],
)
def test_arguments_are_read_in_the_forms_that_people_store(
    name: str, arguments: object, tmp_path: Path
) -> None:
    path = checkpoint(tmp_path / "last.ckpt", name, arguments)
    built, weights = load_model(MODEL, BuildOptions(), path, allow_partial=False)
    spec = settled_preprocessing(built, weights, ModelRequest(name=MODEL))
    assert (spec.height, spec.width) == (SIDE, SIDE)
    assert spec.mean == (0.1, 0.2, 0.3)
    assert "crop" in spec.assumed
    assert "image_size" not in spec.assumed


def test_size_that_is_asked_for_counts_more_than_that_of_the_training(tmp_path: Path) -> None:
    torch.manual_seed(1)
    state = timm.create_model("test_resnet", num_classes=3).state_dict()
    torch.save({"model": state, "args": {"img_size": 64}}, tmp_path / "c.pth")
    options = BuildOptions(image_size=(80, 80))
    built, _ = load_model("timm:test_resnet", options, tmp_path / "c.pth", allow_partial=False)
    assert (built.preprocessing.height, built.preprocessing.width) == (80, 80)


def test_size_that_the_architecture_does_not_take_is_passed_over_and_assumed(
    tmp_path: Path,
) -> None:
    torch.manual_seed(1)
    state = timm.create_model("test_vit", num_classes=3).state_dict()
    torch.save({"model": state, "args": {"img_size": 97}}, tmp_path / "c.pth")
    built, weights = load_model(MODEL, BuildOptions(), tmp_path / "c.pth", allow_partial=False)
    spec = settled_preprocessing(built, weights, ModelRequest(name=MODEL))
    assert spec.height == 160
    assert "image_size" in spec.assumed


def test_tensors_that_an_export_is_known_by_fit_the_trained_size(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "c.pth", "args", argparse.Namespace(**TIMMS))
    taken = tensors_taken(MODEL, BuildOptions(), read_checkpoint(path), None)
    tokens = (SIDE // 16) ** 2 + 1
    assert taken["pos_embed"].shape[1] == tokens
