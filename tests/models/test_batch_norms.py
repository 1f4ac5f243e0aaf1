"""The epsilon of batch norms: as the weights were trained with, whatever builds the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOrder, requests_of
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.models.batch_norms import assumed_epsilon, batch_norms
from deploybench.models.loading import load_model, reference_images
from deploybench.models.source import BuildOptions, find_source

MODEL = "timm:test_efficientnet"
SEEDS, TIMMS = 1e-3, 1e-5
SMALL = BuildOptions(num_classes=5, image_size=(64, 64))
SEEN_DIFFERENCE = 2.7e-3
"""Of the answers of a seeds' checkpoint in a model with timm's epsilon (docs/zoo.md)."""


def built(checkpoint: Path | None = None, epsilon: float | None = None) -> nn.Module:
    options = BuildOptions(num_classes=5, image_size=(64, 64), batchnorm_epsilon=epsilon)
    model, _ = load_model(MODEL, options, checkpoint, allow_partial=False)
    return model.module


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A small EfficientNet as the seeds' code would have trained it, with their epsilon."""
    return built(epsilon=SEEDS)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    model, _ = load_model(MODEL, SMALL, None, allow_partial=False)
    return reference_images(model.preprocessing)


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest, relative to the spread of the first."""
    return float((one - other).abs().max() / one.std())


@pytest.mark.trust(
    item=21,
    case="a checkpoint of an EfficientNet trained with a batch-norm epsilon of 1e-3, as timm:NAME",
    before="1e-5, not said, no option but the zoo's names: answers off by 1e-3 and more",
    now="--batchnorm-epsilon 1e-3, for every source of models: the trained model's own answers",
)
@torch.no_grad()
def test_right_epsilon_gives_the_trained_answers_and_the_wrong_one_others(
    trained: nn.Module, images: torch.Tensor, tmp_path: Path
) -> None:
    torch.save(trained.state_dict(), tmp_path / "seed.pth")
    right, wrong = built(tmp_path / "seed.pth", SEEDS), built(tmp_path / "seed.pth")
    assert {norm.eps for norm in batch_norms(wrong)} == {TIMMS}
    expected = trained(images)
    assert torch.equal(right(images), expected)
    # 0.12 here: variances of 0.006, as a small network has them, make the epsilon count.
    assert difference(expected, wrong(images)) > SEEN_DIFFERENCE


def test_epsilon_that_a_training_stored_is_taken(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model_best.pth.tar"
    arguments = {"bn_eps": SEEDS, "model": "test_efficientnet"}
    torch.save({"state_dict": trained.state_dict(), "args": arguments}, path)
    model, weights = load_model(MODEL, SMALL, path, allow_partial=False)
    assert {norm.eps for norm in batch_norms(model.module)} == {SEEDS}
    assert model.arguments["batchnorm_epsilon"] == SEEDS
    assert "batch-norm epsilon 0.001, as the checkpoint's training had it" in weights.summary
    # What the user says goes before.
    assert {norm.eps for norm in batch_norms(built(path, TIMMS))} == {TIMMS}


def described(name: str, options: BuildOptions) -> tuple[str, ...]:
    source, own_name = find_source(name)
    with torch.device("meta"):
        return assumed_epsilon(source.build(own_name, options))


@pytest.mark.trust(
    item=21,
    case="a checkpoint for an architecture of which weights with either epsilon are about",
    before="1e-5, without a word",
    now="the epsilon that is assumed is said beside the weights, with what to type instead",
)
def test_epsilon_is_said_where_it_is_assumed_and_weights_with_another_are_about() -> None:
    plain = BuildOptions()
    (said,) = described("efficientnet-b0", plain)
    assert "1e-05 is assumed" in said
    assert "--batchnorm-epsilon 0.001" in said
    assert described("timm:mobilenetv3_small_050", plain) == ()  # timm has no tf_ twin of it
    assert described("timm:mixnet_s", plain)
    for known in ("efficientnet-b0-eps1e-3", "timm:tf_efficientnet_b0", "resnet50", "vit-tiny"):
        assert described(known, plain) == ()


def test_assumed_epsilon_stands_beside_the_weights_of_a_checkpoint(tmp_path: Path) -> None:
    name = "timm:efficientnet_b0"
    model, _ = load_model(name, SMALL, None, allow_partial=False)
    torch.save(model.module.state_dict(), tmp_path / "mine.pth")
    _, weights = load_model(name, SMALL, tmp_path / "mine.pth", allow_partial=False)
    assert "a batch-norm epsilon of 1e-05 is assumed" in weights.summary
    told = replace(SMALL, batchnorm_epsilon=TIMMS)
    _, weights = load_model(name, told, tmp_path / "mine.pth", allow_partial=False)
    assert "epsilon" not in weights.summary


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("timm:test_resnet", "torchscript"),
        # Built again by its runner, and compared with what was looked at before the export.
        ("torchvision.models:resnet18", "pytorch"),
    ],
)
def test_artifact_has_the_epsilon_that_was_said(tmp_path: Path, name: str, backend: str) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    model = ModelRequest(name=name, image_size=(64, 64), batchnorm_epsilon=SEEDS)
    result = export_one(ExportRequest(model=model, backend=backend), workspace, ExportOptions())
    assert result.ok, result.error
    assert result.artifact is not None
    manifest = result.artifact.manifest
    assert manifest.model.arguments["batchnorm_epsilon"] == SEEDS
    assert "--batchnorm-epsilon 0.001" in manifest.command


def test_every_kind_of_batch_norm_is_found_and_no_other_norm() -> None:
    from timm.layers.norm_act import BatchNormAct2d, FrozenBatchNormAct2d
    from torchvision.ops import FrozenBatchNorm2d

    kinds = [nn.BatchNorm1d(2), nn.BatchNorm2d(2), nn.SyncBatchNorm(2), nn.BatchNorm2d(2)]
    kinds += [BatchNormAct2d(2), FrozenBatchNormAct2d(2), FrozenBatchNorm2d(2)]
    kinds += [nn.BatchNorm2d(2, track_running_stats=False)]
    others = [nn.InstanceNorm2d(2, track_running_stats=True), nn.GroupNorm(1, 2), nn.LayerNorm(2)]
    assert batch_norms(nn.Sequential(*others, *kinds)) == kinds


def test_epsilon_that_cannot_be_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="no batch norm"):
        load_model(
            "timm:test_vit", BuildOptions(batchnorm_epsilon=SEEDS), None, allow_partial=False
        )
    for epsilon in (0.0, -1e-3, 1.0):
        order = ExportOrder(models=[MODEL], backends=["onnx"], batchnorm_epsilon=epsilon)
        with pytest.raises(DeployBenchError, match="--batchnorm-epsilon"):
            requests_of(order)
