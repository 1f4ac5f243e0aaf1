"""Recipes: named ones with their numbers, and what may be changed in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.training.recipe import RECIPES, Recipe, recipe


def test_the_seeds_recipes_have_the_seeds_numbers() -> None:
    sgd = recipe("cifar-sgd")
    assert (sgd.optimizer, sgd.learning_rate, sgd.momentum, sgd.weight_decay) == (
        "sgd",
        0.1,
        0.9,
        5e-4,
    )
    assert (sgd.schedule, sgd.epochs, sgd.augmentation.pad) == ("cosine", 150, 4)
    rmsprop = recipe("efficientnet-rmsprop")
    assert (rmsprop.optimizer, rmsprop.learning_rate, rmsprop.epochs) == ("rmsproptf", 2.5e-3, 70)
    assert (rmsprop.schedule, rmsprop.decay_rate, rmsprop.decay_epochs) == ("step", 0.97, 2.4)
    assert rmsprop.ema is None
    several = recipe("chexpert")
    assert (several.optimizer, several.learning_rate, several.batch) == ("adam", 1e-4, 16)
    assert several.loss == "binary-cross-entropy"
    assert all(found.source for found in RECIPES.values()), "each says where its numbers are from"


def test_changes_are_named_and_what_is_not_changed_is_not() -> None:
    changed = recipe("default").with_changes({"epochs": 10, "mixup": 0.8, "balance": "sampler"})
    assert changed.changed == ("epochs", "warmup_epochs", "mixup")
    assert changed.warmup_epochs == 1.0
    assert changed.words == "default, with epochs 10, warmup_epochs 1 and mixup 0.8"
    assert changed.augmentation.mixup == 0.8
    assert recipe("default").with_changes({}) == recipe("default")
    assert changed.with_changes({"ema": None}).words == changed.words


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": 0.0}, "learning_rate: Input should be greater than 0"),
        ({"balance": "colour"}, "balance: Input should be 'none', 'sampler' or 'loss'"),
        ({"epochs": 2, "warmup_epochs": 5}, "a warm-up of 5 of 2 epochs"),
        ({"mixup": -1.0}, "mixup: Input should be greater than or equal to 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
)
def test_impossible_changes_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(DeployBenchError) as caught:
        recipe("default").with_changes(changes)
    assert said in caught.value.found


def test_an_unknown_recipe_is_refused_and_a_file_of_one_is_read(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError) as caught:
        recipe("cifar-sdg")
    assert "cifar-sgd" in (caught.value.expected or "")
    path = tmp_path / "mine.json"
    mine = Recipe(name="mine", optimizer="lamb", epochs=7, warmup_epochs=1)
    path.write_text(mine.model_dump_json())
    assert recipe(str(path)) == mine
    path.write_text('{"name": "mine", "epoch": 3}')
    with pytest.raises(DeployBenchError, match="epoch"):
        recipe(str(path))
    with pytest.raises(DeployBenchError, match="cannot be read"):
        recipe(str(tmp_path / "none.json"))


def rates(name: str, steps_an_epoch: int) -> list[float]:
    """The learning rate of each step of a recipe."""
    from lightning_fabric import Fabric

    from deploybench.training.loop import parts_of
    from deploybench.training.losses import training_loss

    found = RECIPES[name]
    fabric = Fabric(accelerator="cpu", devices=1)
    parts = parts_of(
        fabric,
        nn.Linear(2, 2),
        found,
        training_loss(found, "single-label", None),
        steps_an_epoch,
    )
    assert isinstance(parts.optimizer.optimizer, torch.optim.Optimizer)
    taken = []
    for step in range(found.epochs * steps_an_epoch):
        taken.append(parts.optimizer.param_groups[0]["lr"])
        parts.optimizer.step()
        parts.schedule.step_update(step + 1)
    return taken


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_begins_low_reaches_its_height_after_the_warm_up_and_ends_as_the_schedule_says(
    name: str,
) -> None:
    found = RECIPES[name]
    steps = 10
    taken = rates(name, steps)
    assert max(taken) == pytest.approx(found.learning_rate, rel=0.03)
    if found.warmup_epochs:
        assert taken[0] <= 1e-6
        assert taken[round(found.warmup_epochs * steps) - 1] > 0.9 * found.learning_rate
    else:
        assert taken[0] == found.learning_rate
    ends = {
        "cosine": found.min_learning_rate,
        "constant": found.learning_rate,
        "multistep": found.learning_rate * found.decay_rate**2,
        "step": found.learning_rate
        * found.decay_rate ** ((found.epochs * steps - 1) // (found.decay_epochs * steps)),
    }
    assert taken[-1] == pytest.approx(ends[found.schedule], rel=1e-3, abs=1e-5)
