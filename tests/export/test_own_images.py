"""Reference images of the user's own: verified on as well, counted, hashed, bounded, and refused by
name."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.naming import newest_of_each, short_names
from deploybench.artifacts.parity import compare_outputs, hardly_differs
from deploybench.artifacts.references import read_images
from deploybench.artifacts.workspace import Workspace
from deploybench.data.own_images import MOST_IMAGES, choose_images, hash_of_images, own_inputs
from deploybench.data.preprocess import load_image
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.export.assumptions import settled_preprocessing
from deploybench.export.identity import contents_of
from deploybench.export.order import ExportOrder, export_models, requests_of
from deploybench.export.pipeline import ExportOptions, check_requests, export_one
from deploybench.export.reference import Reference, reference_of
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.models.loading import load_model
from deploybench.models.source import BuiltModel
from deploybench.report.export_table import export_data, export_report

SIDE = 32
BUILT_IN = 8
STRIPES = '''
import torch

class Stripes(torch.nn.Module):
    """Sees nothing but stripes one pixel wide: no noise, plain colour or photograph has them."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Linear(1, 4)
        torch.manual_seed(1)
        torch.nn.init.normal_(self.head.weight)

    def forward(self, x):
        difference = (x[..., 0::2] - x[..., 1::2]).mean(dim=(1, 2, 3))
        return self.head((difference.abs() - 1).relu().unsqueeze(1))

def stripes():
    return Stripes()
'''


def write_stripes(path: Path, contrast: float = 1.0) -> Path:
    columns = np.where(np.arange(SIDE) % 2 == 0, 127.5 + 127.5 * contrast, 127.5 - 127.5 * contrast)
    pixels = np.broadcast_to(columns.astype(np.uint8)[None, :, None], (SIDE, SIDE, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Beside a model that tells nothing apart but stripes, and two images of stripes."""
    (tmp_path / "striped.py").write_text(STRIPES)
    write_stripes(tmp_path / "mine" / "faint.png", 0.7)
    write_stripes(tmp_path / "mine" / "strong.png", 1.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("striped", None)
    made = Workspace(tmp_path / "workspace")
    made.prepare()
    return made


def asked(*paths: Path | str) -> ModelRequest:
    return ModelRequest(
        name="striped:stripes",
        image_size=(SIDE, SIDE),
        preprocessing=PreprocessingOptions(crop=1.0),
        reference_images=tuple(str(Path(path).absolute()) for path in paths),
    )


def export(workspace: Workspace, *paths: Path | str) -> ExportResult:
    request = ExportRequest(model=asked(*paths), backend="torchscript")
    return export_one(request, workspace, ExportOptions())


def made_by(result: ExportResult) -> Artifact:
    assert result.artifact is not None, result.error
    return result.artifact


@pytest.mark.trust(
    item=1,
    case="a model that tells none of the built-in images apart: what to do",
    before="'verified, weakly'; 'compare the outputs on images of your own': no option",
    now="--reference-images FOLDER is named; with the user's images it is verified, not weakly",
)
def test_images_of_the_users_make_parity_say_enough(workspace: Workspace) -> None:
    without = export(workspace)
    weak = made_by(without).manifest
    assert weak.parity is not None
    assert weak.parity.weak
    assert "--reference-images" in str(export_report([without]).sections)
    assert weak.own_images is None

    with_images = export(workspace, "mine")
    artifact = made_by(with_images)
    manifest = artifact.manifest
    assert manifest.parity is not None
    assert manifest.parity.passed
    assert manifest.parity.weak == ""
    # As well: the built-in images come first, and the user's behind them.
    images = read_images(artifact.path)
    assert manifest.parity.images == len(images) == BUILT_IN + 2
    assert np.array_equal(images[:BUILT_IN], read_images(made_by(without).path)[:BUILT_IN])
    faint = load_image(workspace.root.parent / "mine" / "faint.png", manifest.preprocessing)
    assert np.array_equal(images[BUILT_IN], faint)

    own = manifest.own_images
    assert own is not None
    assert (own.count, own.found) == (2, 2)
    assert own.sha256 == hash_of_images(choose_images(["mine"]))
    assert manifest.intact
    assert "parity is on 2 images of your own as well" in str(export_report([with_images]).sections)
    assert export_data(with_images)["own_images"] == own.model_dump(mode="json")
    assert "--reference-images" in manifest.command

    # The same model, verified on more: the newer one stands for it.
    both = [made_by(without), artifact]
    assert newest_of_each(both) == [artifact]
    assert short_names(both)[1] == "striped:stripes/torchscript"


def test_a_fault_that_only_shows_on_the_users_images_is_seen(workspace: Workspace) -> None:
    built_in, own = reference_without(), reference_with("mine")
    for reference, weak in ((built_in, True), (own, False)):
        outputs = reference.outputs.numpy()
        assert hardly_differs(outputs) is weak
        lost = np.broadcast_to(outputs[:1], outputs.shape)  # what a graph without the branch gives
        assert compare_outputs(outputs, lost, "fp32").passed is weak


def reference_without() -> Reference:
    return reference_with()


def reference_with(*paths: str) -> Reference:
    model = asked(*paths)
    return reference_of(model, loaded(model), one_image=False)


def loaded(model: ModelRequest) -> BuiltModel:
    built, weights = load_model(model.name, model.build_options(), None, allow_partial=False)
    return replace(built, preprocessing=settled_preprocessing(built, weights, model))


@torch.no_grad()
def test_outputs_of_many_images_are_those_of_each(workspace: Workspace, tmp_path: Path) -> None:
    for index in range(11):  # more than the model sees at once
        write_stripes(tmp_path / "many" / f"{index:02}.png", 0.7 + index / 40)
    reference = reference_with("many")
    assert len(reference.images) == BUILT_IN + 11
    torch.testing.assert_close(reference.outputs, loaded(asked()).module(reference.images))


def test_images_that_do_not_help_are_not_asked_for_again(workspace: Workspace) -> None:
    plain = Path("plain.png")
    Image.new("RGB", (SIDE, SIDE), "grey").save(plain)
    result = export(workspace, plain)
    assert made_by(result).manifest.parity is not None
    said = str(export_report([result]).sections)
    assert "the images that were given do not help" in said


@pytest.mark.trust(
    item=1,
    case="a reference image of the user's that does not read",
    before="no option",
    now="refused by its name, with what it is",
)
def test_a_bad_image_is_refused_by_its_name(workspace: Workspace) -> None:
    Path("mine/page.png").write_text("<!DOCTYPE html><html></html>")
    result = export(workspace, "mine")
    assert result.artifact is None
    assert result.error is not None
    assert "page.png does not read as an image" in result.error.found


@pytest.mark.parametrize(
    ("path", "words"),
    [("nowhere", "there is no such file or folder"), ("empty", "the folder holds no image")],
)
def test_what_is_not_there_is_refused_before_anything_starts(
    workspace: Workspace, path: str, words: str
) -> None:
    Path("empty").mkdir()
    Path("empty/notes.txt").write_text("no image")
    order = ExportOrder(models=["vit-tiny"], backends=["onnx"], reference_images=[Path(path)])
    with pytest.raises(DeployBenchError, match=words):
        export_models(order)
    with pytest.raises(DeployBenchError, match=words):
        check_requests(requests_of(order))


def test_of_many_a_bounded_number_is_taken_from_all_folders_and_said(tmp_path: Path) -> None:
    for name in ("cat", "dog", "fox", "hen"):
        for index in range(25):
            path = tmp_path / "val" / name / f"{index:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "val" / "._hidden.png").touch()
    (tmp_path / "val" / "labels.csv").touch()

    chosen = choose_images([tmp_path / "val"])
    assert chosen.found == 100
    assert len(chosen.files) == len(set(chosen.files)) == MOST_IMAGES
    per_class = [sum(name in file.parts for file in chosen.files) for name in ("cat", "dog", "hen")]
    assert per_class == [8, 8, 8]
    assert list(chosen.files) == sorted(chosen.files)
    assert choose_images([tmp_path / "val", *chosen.files]).found == 100  # each image once


def test_what_a_file_leaves_open_and_how_many_were_left_are_said(tmp_path: Path) -> None:
    built, _ = load_model("timm:test_resnet", asked().build_options(), None, allow_partial=False)
    deep = np.tile(np.linspace(0, 65535, SIDE).astype("<u2"), (SIDE, 1))
    for index in range(MOST_IMAGES + 1):
        Image.fromarray(deep + np.uint16(0)).save(tmp_path / f"{index:02}.png")
    inputs, told = own_inputs([str(tmp_path)], built.preprocessing)
    assert inputs.shape == (MOST_IMAGES, 3, SIDE, SIDE)
    assert inputs.dtype == np.float32
    assert f"spread evenly over the {MOST_IMAGES + 1} that were given" in told.summary
    assert "65535" in told.summary
    assert told.summary.count("00.png") == 1


@pytest.mark.trust(
    item=1,
    case="an artifact is there, and the same export is asked for with images to verify on",
    before="no option",
    now="exported again and verified on them: their content is part of the key, not their names",
)
def test_the_key_counts_the_images_by_their_content(tmp_path: Path) -> None:
    first = write_stripes(tmp_path / "a" / "x.png")
    renamed = write_stripes(tmp_path / "b" / "y.png")
    other = write_stripes(tmp_path / "c" / "x.png", 0.5)

    def key(*paths: Path) -> str:
        model = asked(*paths)
        request = ExportRequest(model=model, backend="onnx")
        (contents,) = contents_of(model)
        return request.key(contents, {}, {})

    assert key(first) == key(renamed) == key(first.parent)
    assert len({key(), key(first), key(other), key(first, other)}) == 4


def test_a_request_without_images_is_stored_as_it_always_was() -> None:
    stored = ModelRequest(name="vit").model_dump(mode="json")
    assert "reference_images" not in stored
    assert "batchnorm_epsilon" not in stored
    assert Manifest.model_fields["own_images"].default is None
