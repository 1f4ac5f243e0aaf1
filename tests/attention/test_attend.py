"""Panels, Grad-CAM, and the command."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner, Result

from deploybench.attention.cam import grad_cam
from deploybench.attention.page import csv_of, html_of
from deploybench.attention.seen import GRAD_CAM, Sight, look
from deploybench.attention.study import Looked, Row, Study
from deploybench.cli.main import application
from deploybench.models.attention_maps import class_activation, read_attention
from deploybench.models.nets.aaconv import AAConv2d, Augmentation
from deploybench.models.nets.attention import attention_layer

PIXELS = ((10, 10), (10, 21), (21, 10), (21, 21))


def vit(attention: str | None = None) -> nn.Module:
    torch.manual_seed(5)
    swapped = {} if attention is None else {"attn_layer": attention_layer(attention, 17, None)}
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        patch_size=8,
        embed_dim=24,
        num_heads=3,
        depth=2,
        num_classes=5,
        **swapped,
    )
    return model.eval().requires_grad_(False)


def image(size: int = 32) -> torch.Tensor:
    return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(6))


def titles(sight: Sight) -> list[str]:
    return [panel.title for panel in sight.panels]


class Brightness(nn.Module):
    """Class 1 is how much red there is; class 0 the opposite."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(3, 1, 1, bias=False)
        self.map.weight.data = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.map(x).mean((2, 3))
        return torch.cat([-total, total], 1)


def test_grad_cam_finds_a_planted_square() -> None:
    planted = torch.zeros(1, 3, 16, 16)
    planted[:, 0, 4:8, 8:12] = 1
    planted[:, 0, 13, 2] = -1  # speaks against the answer, and is cut off
    found = grad_cam(Brightness().eval(), planted)
    assert (found.layer, found.answer) == ("map", 1)
    square = np.zeros((16, 16), bool)
    square[4:8, 8:12] = True
    assert found.values[square].min() > 0
    assert not found.values[~square].any()


def test_grad_cam_of_a_mean_and_one_linear_layer_is_its_class_activation() -> None:
    model = timm.create_model("test_resnet", num_classes=4).eval().requires_grad_(False)
    found = grad_cam(model, image(64))
    activation = class_activation(model, image(64)).reading.values[0].clamp(min=0).numpy()
    assert found.values == pytest.approx(activation / activation.size, abs=1e-6)


@pytest.mark.parametrize("name", ["vit", "linformer", "xca", "swin", "xcit", "test_efficientnet"])
def test_grad_cam_keeps_the_places_of_every_kind_of_network(name: str) -> None:
    size = 32
    if name == "swin":
        size, model = 56, swin()
    elif name == "xcit":
        size, model = 64, timm.create_model("xcit_nano_12_p16_224", img_size=64, depth=2).eval()
    elif name == "test_efficientnet":
        size, model = 64, timm.create_model(name).eval()
    else:
        model = vit(None if name == "vit" else name)
    found = grad_cam(model, image(size))
    assert min(found.values.shape) >= 2
    assert "att" not in found.layer


def swin() -> nn.Module:
    torch.manual_seed(5)
    return timm.create_model(
        "swin_tiny_patch4_window7_224",
        img_size=56,
        window_size=7,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(3, 3),
    ).eval()


def test_a_vit_has_its_pixels_its_class_token_rollout_and_grad_cam() -> None:
    model = vit()
    sight = look(model, image(), PIXELS)
    assert titles(sight) == ["Weights at 4 pixels", "Class token", "Rollout", GRAD_CAM]
    weights = read_attention(model, image())[-1].reading.values[0].numpy()
    cell = sight.panels[0].cells[2][1]  # the third head, the second pixel: token row 1, column 2
    assert cell.marked == (10, 21)
    assert cell.values == pytest.approx(weights[2, 1 + 4 + 2, 1:].reshape(4, 4))
    assert sight.panels[1].cells[0][0].values == pytest.approx(weights[0, 0, 1:].reshape(4, 4))
    quantities = [measure.quantity for measure in sight.measures]
    assert quantities == ["entropy", "entropy", "distance", "distance"]


def test_linformer_is_said_to_be_no_distribution() -> None:
    sight = look(vit("linformer"), image(), PIXELS)
    assert titles(sight) == ["Effective weights at 4 pixels", "Class token", GRAD_CAM]
    assert "No distribution" in sight.panels[0].limits
    assert not sight.measures


def test_channel_attention_is_said_to_have_no_places() -> None:
    sight = look(vit("xca"), image(), PIXELS)
    assert titles(sight) == ["Channel weights", GRAD_CAM]
    assert "no places" in sight.panels[0].limits
    assert not sight.panels[0].cells[0][0].on_image
    assert list(sight.importance) == [GRAD_CAM]


def test_fastformer_has_one_weight_for_each_token() -> None:
    sight = look(vit("fastformer"), image(), PIXELS)
    assert titles(sight) == ["Query weights", "Key weights", GRAD_CAM]


def test_a_query_of_swin_sees_its_own_window_where_it_lies_on_the_image() -> None:
    sight = look(swin(), image(56), ((3, 40), (50, 5)))
    panel = sight.panels[0]
    assert "shifted" in panel.what
    seen = np.isfinite(panel.cells[0][0].values)
    assert seen.shape == (14, 14)
    assert seen.sum() == 49
    # The pixel lies in row 0 and column 10; shifted by three places, its window is that of the
    # rows and columns 10 to 13 and, around the edge, 0 to 2.
    edge = [*range(3), *range(10, 14)]
    assert seen[np.ix_(edge, edge)].all()


def test_augmented_convolution_has_four_pixels_for_each_head() -> None:
    torch.manual_seed(5)
    augmented = AAConv2d(3, 40, 3, Augmentation(heads=4, value_share=0.4), (8, 8), stride=4)
    model = nn.Sequential(augmented, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 3))
    sight = look(model.eval(), image(), PIXELS)
    panel = sight.panels[0]
    assert (len(panel.rows), len(panel.columns)) == (4, 4)
    assert panel.cells[0][0].values.sum() == pytest.approx(1, abs=1e-5)


def test_a_model_without_attention_says_so() -> None:
    model = timm.create_model("test_resnet").eval().requires_grad_(False)
    sight = look(model, image(64), PIXELS)
    assert titles(sight) == [GRAD_CAM]
    assert "no attention" in sight.notes[0]


def test_hostile_names_are_inert_in_the_page_and_in_csv() -> None:
    name = "=cmd|<script>alert(1)</script>"
    row = Row(name, "entropy", "", 0.5, None, None, 1)
    sight = look(vit(), image(), PIXELS)
    looked = Looked(name, "random weights", np.zeros((32, 32, 3)), sight, ("<b>note</b>",))
    study = Study("<img src=x>", (looked,), (row,), ("<i>",))
    page = html_of(study)
    for hostile in ("<script>", "<img src=x>", "<b>note", "<i>"):
        assert hostile not in page
    assert "http:" not in page
    assert "https:" not in page
    assert page.count("<img ") == page.count(' alt="') == 4
    assert list(csv.reader(io.StringIO(csv_of(study))))[1][0].startswith("'=")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    generator = np.random.default_rng(2)
    for number in range(3):
        levels = generator.integers(0, 256, (80, 80), np.uint8)
        Image.fromarray(levels).save(folder / f"scan{number}.png")
    return folder


def run(*words: str) -> Result:
    return CliRunner().invoke(application(["attend"]), ["attend", *words])


def test_the_command_writes_a_page_and_prints_the_numbers_with_intervals(
    scans: Path, tmp_path: Path
) -> None:
    page = tmp_path / "attention.html"
    models = "timm:test_vit,timm:test_resnet"
    words = ["--model", models, "--image", str(scans), "-o", str(page), "--format", "json"]
    result = run(*words)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert [model["model"] for model in found["models"]] == models.split(",")
    numbers = found["numbers"]
    overall = next(row for row in numbers if row["quantity"] == "entropy" and not row["layer"])
    assert overall["images"] == 3
    assert overall["low"] <= overall["value"] <= overall["high"]
    both = f"timm:test_vit: {GRAD_CAM} ~ timm:test_resnet: {GRAD_CAM}"
    assert both in [row["model"] for row in numbers]
    assert "<h2>timm:test_resnet</h2>" in page.read_text()
    assert "random weights" in page.read_text()


def test_the_command_writes_a_picture(scans: Path, tmp_path: Path) -> None:
    picture = tmp_path / "attention.png"
    one = str(scans / "scan0.png")
    words = ["--model", "timm:test_vit", "--image", one, "--pixel", "3,90", "-o", str(picture)]
    assert run(*words).exit_code == 0
    assert Image.open(picture).width > 300


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "a.gif"], "suffix"),
        ([], "nothing is asked for"),
        (["-o", "a.png", "--pixel", "3"], "is no pixel"),
        (["-o", "a.png", "--pixel", "999,0"], "outside the image"),
        (["-o", "a.png", "--checkpoint", "missing.pt"], "missing.pt"),
    ],
)
def test_what_cannot_be_is_refused(scans: Path, words: list[str], said: str) -> None:
    result = run("--model", "timm:test_vit", "--image", str(scans / "scan0.png"), *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_image_that_does_not_read_is_left_out_or_refused(scans: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    words = ["--model", "timm:test_vit", "--format", "csv", "--image", str(broken)]
    assert run(*words).exit_code == 2
    result = run(*words, "--image", str(scans / "scan0.png"))
    assert result.exit_code == 0
    assert "left out" in result.stderr
