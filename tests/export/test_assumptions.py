"""Preprocessing that nobody gave is said where it is assumed, and what is given is used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.weights import Weights
from deploybench.data.preprocessing_options import PARTS, PreprocessingOptions
from deploybench.evaluate.predict import predict_images
from deploybench.export.assumptions import settled_preprocessing
from deploybench.export.order import ExportOrder, export_models
from deploybench.export.request import ExportResult, ModelRequest
from deploybench.models.source import BuildOptions, BuiltModel, find_source
from deploybench.report.export_table import export_report
from deploybench.report.prediction_table import prediction_report
from deploybench.report.run_notes import notes_of
from deploybench.report.table import Prose, Report
from deploybench.rows.rows import rows_of
from tests.records import launch, record

FACTORY = '''
import timm
import torch
from torch import nn

class Brightness(nn.Module):
    """Which of ten levels the mean of the normalised image is nearest to."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Linear(1, 10)
    def forward(self, x):
        return self.head(self.conv(x).mean((1, 2, 3))[:, None])

def make():
    return Brightness()

def described():
    module = Brightness()
    module.pretrained_cfg = {
        "input_size": (3, 64, 64), "crop_pct": 1.0, "crop_mode": "squash",
        "interpolation": "bilinear", "mean": (0.2, 0.2, 0.2), "std": (0.1, 0.1, 0.1),
    }
    return module

def timms():
    return timm.create_model("test_resnet", pretrained_cfg_overlay={"mean": (0.1, 0.1, 0.1)})

def wrong():
    module = Brightness()
    module.pretrained_cfg = {"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}
    return module
'''
MEAN, STD, SIDE = 0.2, 0.1, 64
IMAGES = 30


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's folder: the factory, the weights that it trained, and photographs with a frame."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "brightness.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", [*sys.path, str(folder)])
        torch.save(trained(), folder / "best.pt")
        save_file(trained(), folder / "best.safetensors")
        generator = np.random.default_rng(0)
        for index in range(IMAGES):
            pixels = np.full((90, 120, 3), 255 * generator.uniform(0.05, 0.95))
            pixels[:, :20] = pixels[:, -20:] = 255 * generator.uniform()
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
        yield folder


def trained() -> dict[str, torch.Tensor]:
    """Scores of the levels: the negative squared distance of the mean, without its own square."""
    centres = (torch.linspace(0, 1, 10) - MEAN) / STD
    return {
        "conv.weight": torch.eye(3)[:, :, None, None].contiguous(),
        "head.weight": 2 * centres[:, None].contiguous(),
        "head.bias": -(centres**2),
    }


def users_own_loop(folder: Path) -> list[int]:
    """What the user's evaluation prints: the whole image squashed to 64 pixels."""
    weights = trained()
    answers = []
    for index in range(IMAGES):
        with Image.open(folder / f"{index:02}.png") as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small, dtype=np.float64) / 255 - MEAN) / STD
        scores = weights["head.weight"][:, 0] * float(pixels.mean()) + weights["head.bias"]
        answers.append(int(scores.argmax()))
    return answers


def exported(folder: Path, model: str, **said: object) -> ExportResult:
    order = ExportOrder(
        models=[model],
        backends=["torchscript"],
        checkpoint=folder / "best.safetensors",
        workspace=folder / "workspace",
        **said,  # type: ignore[arg-type]
    )
    (result,) = export_models(order)
    assert result.error is None, result.error
    return result


def answers_of(result: ExportResult, folder: Path) -> tuple[list[int], Report]:
    assert result.artifact is not None
    images = sorted(folder.glob("*.png"))
    predictions = predict_images(result.artifact.path, images, top=1, threads=1)
    answers = [prediction["classes"][0]["index"] for prediction in predictions]
    return answers, prediction_report(predictions)


def words_of(report: Report) -> str:
    return "\n".join(
        line for section in report.sections if isinstance(section, Prose) for line in section.lines
    )


@pytest.mark.trust(
    item=15,
    case="a classifier trained at 64 pixels with its own normalisation, exported without a word",
    before="verified, predict agreed with the user's own loop on 0 of 30 images, without a word",
    now="'preprocessing assumed' at export, in the manifest and above the predictions",
)
def test_preprocessing_that_nobody_gave_is_said_to_be_assumed(workplace: Path) -> None:
    result = exported(workplace, "brightness:make", task="multi_class")
    assert result.artifact is not None
    manifest = result.artifact.manifest
    assert manifest.verified
    assert manifest.preprocessing.assumed == PARTS
    (sentence,) = manifest.assumed
    assert "224x224 pixels" in sentence
    said = words_of(export_report([result]))
    assert f"{sentence}; set it with --image-size" in said
    assert export_report([result]).data[0]["assumed"] == [sentence]  # type: ignore[index]
    answers, report = answers_of(result, workplace)
    assert sentence in words_of(report)
    own = users_own_loop(workplace)
    agreeing = sum(mine == users for mine, users in zip(answers, own, strict=True))
    assert agreeing < IMAGES / 2, "the assumption is wrong for this model, so it has to be said"


@pytest.mark.trust(
    item=15,
    case="the same classifier with --image-size 64 --resize-mode squash --mean 0.2 --std 0.1 …",
    before="of these options --image-size alone was there; predict agreed on 0 of 30 images",
    now="the answers of the user's own loop on every image, and nothing assumed",
)
def test_what_the_user_says_gives_the_answers_of_the_users_own_loop(workplace: Path) -> None:
    said = PreprocessingOptions(
        mean=(MEAN,), std=(STD,), interpolation="bilinear", resize_mode="squash"
    )
    result = exported(
        workplace,
        "brightness:make",
        image_sizes=[(SIDE, SIDE)],
        preprocessing=said,
        task="multi_class",
    )
    assert result.artifact is not None
    manifest = result.artifact.manifest
    assert not any("preprocessing" in said for said in manifest.assumed)
    assert "--resize-mode squash" in manifest.command
    answers, report = answers_of(result, workplace)
    assert answers == users_own_loop(workplace)
    assert "preprocessing" not in words_of(report)
    assert "preprocessing assumed" not in words_of(export_report([result]))


@pytest.mark.trust(
    item=15,
    case="the same classifier, whose factory sets a pretrained_cfg with crop_mode squash",
    before="crop_mode was ignored: verified, predict agreed on 15 of 30 images",
    now="the answers of the user's own loop on every image, and nothing assumed",
)
def test_pretrained_cfg_of_the_users_module_is_what_it_says(workplace: Path) -> None:
    result = exported(workplace, "brightness:described", task="multi_class")
    assert result.artifact is not None
    assert not any("preprocessing" in said for said in result.artifact.manifest.assumed)
    answers, _ = answers_of(result, workplace)
    assert answers == users_own_loop(workplace)


def built(model: str, **options: object) -> BuiltModel:
    source, name = find_source(model)
    return source.build(name, BuildOptions(**options))  # type: ignore[arg-type]


def settled(model: BuiltModel, kind: str, asked: ModelRequest | None = None) -> Preprocessing:
    weights = Weights.model_validate({"kind": kind, "source": "best.pt", "sha256": ""})
    return settled_preprocessing(model, weights, asked or ModelRequest(name="any"))


def test_usual_preprocessing_of_an_architecture_is_assumed_of_other_weights_only() -> None:
    model = built("timm:test_resnet")
    assert settled(model, "checkpoint").assumed == PARTS
    assert settled(model, "pretrained").assumed == ()
    assert settled(model, "random").assumed == ()
    asked = ModelRequest(name="any", image_size=(96, 96))
    assert "image_size" not in settled(model, "checkpoint", asked).assumed


def test_training_arguments_of_the_checkpoint_are_given() -> None:
    model = built("timm:test_resnet")
    said = replace(model, training_arguments={"mean": [0.1, 0.2, 0.3], "img_size": 160})
    spec = settled(said, "checkpoint")
    assert spec.mean == (0.1, 0.2, 0.3)
    assert spec.assumed == ("crop", "interpolation", "std")
    timms = {"model": "test_resnet", "mean": None, "std": None, "crop_pct": 0.9}
    whole = replace(model, training_arguments={**timms, "interpolation": "", "img_size": 160})
    assert settled(whole, "checkpoint").assumed == ()
    assert settled(whole, "checkpoint").crop_fraction == 0.9
    others = replace(model, training_arguments={"mean": [500.0], "std": [0.1]})
    assert settled(others, "checkpoint").assumed == PARTS


@pytest.mark.usefixtures("workplace")
def test_only_what_a_factory_changed_in_timms_configuration_counts_as_said() -> None:
    spec = settled(built("brightness:timms"), "factory")
    assert spec.mean == (0.1, 0.1, 0.1)
    assert spec.assumed == tuple(part for part in PARTS if part != "mean")


@pytest.mark.trust(
    item=15,
    case="a pretrained_cfg with a mean of 123.7",
    before="verified, taken for pixels in [0, 1]: predict agreed on 0 of 30 images",
    now="refused: 'divide by 255'",
)
@pytest.mark.usefixtures("workplace")
def test_pretrained_cfg_in_levels_of_255_is_refused() -> None:
    from deploybench.errors import DeployBenchError

    with pytest.raises(DeployBenchError) as refusal:
        built("brightness:wrong")
    assert "divide by 255" in str(refusal.value)


@pytest.mark.trust(
    item=15,
    case="torchvision's first weights for resnet50, trained for a resize to 256",
    before="resized to 232, as its second weights are",
    now="recognised by the sha256 in the file's name; any other file is said to be assumed",
)
def test_known_file_brings_its_own_transform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built("torchvision.models:resnet50")
    crops = {digits: spec.crop_fraction for digits, spec in model.known_files.items()}
    assert crops == {"0676ba61": 224 / 256, "11ad3fa6": 224 / 232}
    (tmp_path / "renamed.pth").write_bytes(b"weights")
    asked = ModelRequest(name="any", checkpoint=str(tmp_path / "renamed.pth"))
    assert settled(model, "checkpoint", asked).assumed == PARTS
    monkeypatch.setattr(
        "deploybench.export.assumptions.sha256_of_file", lambda path: "0676ba61" + "0" * 56
    )
    spec = settled(model, "checkpoint", asked)
    assert (spec.crop_fraction, spec.assumed) == (224 / 256, ())


def test_request_that_says_nothing_of_images_is_stored_as_it_always_was() -> None:
    assert "preprocessing" not in ModelRequest(name="any").model_dump()
    said = ModelRequest(name="any", preprocessing=PreprocessingOptions(crop=0.9))
    assert said.model_dump()["preprocessing"] == {"crop": 0.9}


@pytest.mark.trust(
    item=15,
    case="end-to-end times of a model whose preprocessing was assumed",
    before="no word on the row",
    now="a note on the row and the field 'assumed'; times from host to host do not depend on it",
)
@pytest.mark.parametrize(("timing", "noted"), [("end-to-end", True), ("host-to-host", False)])
def test_row_of_a_call_that_begins_with_a_file_says_what_was_assumed(
    timing: str, noted: bool
) -> None:
    made = record([launch([1.0] * 50, number=index) for index in range(6)], timing=timing)
    (row,) = rows_of([made.replaced(assumed=("the size was assumed",))])
    assert row.assumed == "the size was assumed"
    causes = [note.cause for note in notes_of(row)]
    assert ("the size was assumed" in causes) is noted
