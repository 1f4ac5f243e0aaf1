"""The tables of seed 000 can be made again from CIFAR's own files: here from files of its form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploybench.training.curve import read_curve
from tests.conftest import Cli
from tests.data.sets import cifar_10, cifar_100


@pytest.mark.parametrize(
    ("recipe", "files"),
    [("cifar-sgd", cifar_100), ("cifar-densenet", cifar_100), ("efficientnet-rmsprop", cifar_10)],
)
def test_a_named_recipe_trains_on_cifars_own_files(
    tmp_path: Path, cli_here: Cli, recipe: str, files: object
) -> None:
    assert callable(files)
    data = files(tmp_path / "cifar")
    out = tmp_path / "out"
    done = cli_here(
        *("train", "--model", "timm:test_resnet", "--data", str(data), "--recipe", recipe),
        *("--epochs", "1", "--batch", "4", "--image-size", "32", "--out", str(out)),
    )
    assert done.returncode == 0, done.stderr
    (line,) = read_curve(out)
    # Top-5 of three classes says nothing; with CIFAR's it is there.
    assert line.train_loss > 0
    assert line.eval_loss is not None
    assert line.top1 is not None
    assert (out / "model.safetensors").is_file()
    plan = json.loads((out / "training.json").read_text())["plan"]
    assert plan["recipe"]["name"] == recipe
    assert plan["data"]["training_split"] == "train"
    # There is no other split to judge the epochs by, and that is said.
    assert plan["data"]["evaluation_split"] == "test"
    assert "a little too good" in done.stdout + done.stderr
