"""``deploybench train``: what it says, what it takes, and where it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.training.small import coloured


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coloured(tmp_path_factory.mktemp("images") / "data", {"train": 4, "val": 2})


NET = "tests.training.nets:dropping"


def test_it_ends_with_the_curve_the_weights_and_the_command_that_exports_them(
    images: Path, tmp_path: Path, cli_here: Cli
) -> None:
    options = ("--model", NET, "--data", images, "--image-size", "32", "--epochs", "2")
    done = cli_here("train", *options, "--batch", "6", "--threads", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = "trained/tests.training.nets-dropping"
    assert (tmp_path / folder / "model.safetensors").is_file()
    assert f"deploybench export --model {NET} --checkpoint {folder}" in done.stdout
    evaluating = next(line for line in done.stdout.splitlines() if "evaluate --data" in line)
    assert evaluating.endswith("--split val"), "there is no split that played no part"
    assert "recipe default, with epochs 2, batch 6 and warmup_epochs 0.2" in done.stdout
    assert "epoch 2 of 2: train loss" in done.stderr
    course = next(line for line in done.stdout.splitlines() if line.startswith("train loss "))
    assert "█▁" in course
    markdown = cli_here("train", *options, "--batch", "6", "--resume", "--markdown", cwd=tmp_path)
    assert "█" not in markdown.stdout
    again = cli_here("train", *options, "--batch", "6", "--resume", "--json", cwd=tmp_path)
    told = json.loads(again.stdout)
    assert [line["epoch"] for line in told["epochs"]] == [1, 2]
    assert told["training"]["finished"]
    assert told["training"]["plan"]["data"]["training_counts"] == [4, 4, 4]


def test_recipes_are_listed_with_their_numbers_and_sources(cli_here: Cli) -> None:
    printed = cli_here("train", "--list-recipes").stdout
    for word in ("cifar-sgd", "efficientnet-rmsprop", "chexpert", "learning_rate", "WideResNet"):
        assert word in printed
    listed = json.loads(cli_here("train", "--list-recipes", "--json").stdout)
    assert [recipe["name"] for recipe in listed][:2] == ["default", "cifar-sgd"]


def test_a_listed_recipe_is_one_that_a_file_may_hold(
    images: Path, tmp_path: Path, cli_here: Cli
) -> None:
    listed = json.loads(cli_here("train", "--list-recipes", "--json").stdout)
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({**listed[1], "name": "mine", "epochs": 1, "warmup_epochs": 0}))
    options = ("--model", NET, "--data", images, "--image-size", "32", "--recipe", path)
    done = cli_here("train", *options, "--out", tmp_path / "out", "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert "recipe mine, begun with" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "x"], "no --model"),
        (["--model", "vit"], "no --data"),
        (["--recipe", "cifar-sdg"], "unknown recipe 'cifar-sdg'"),
        (["--ema", "much"], "--ema much"),
        (["--scale", "1,2,3"], "--scale 1,2,3"),
        (["--device", "tpu"], "unknown device to train on 'tpu'"),
        (["--resume", "--force"], "--resume with --force"),
        (["--batch", "2", "--learning-rate", "-1"], "learning_rate"),
        (["--patience", "0"], "patience"),
        (["--patience", "1.5"], "patience"),
    ],
)
def test_what_it_cannot_take_is_refused_in_words(
    words: list[str], said: str, cli_here: Cli
) -> None:
    if len(words) != 2 or words[0] not in ("--data", "--model"):
        words = ["--model", "vit", "--data", "x", *words]
    done = cli_here("train", *words)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_off_takes_away_what_a_recipe_has(cli_here: Cli) -> None:
    from deploybench.cli.train import _given, _number_or_off
    from deploybench.training.recipe import recipe

    changes = _given({"clip_gradient": _number_or_off("off", "--clip-gradient"), "ema": None})
    assert changes == {"clip_gradient": None}
    assert recipe("default").with_changes(changes).clip_gradient is None
