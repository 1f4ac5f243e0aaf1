"""What the losses of a recipe make of smoothing, also where mixup has made shares of classes."""

from __future__ import annotations

import pytest
import torch

from deploybench.training.losses import training_loss
from deploybench.training.recipe import RECIPES


@pytest.mark.parametrize("name", ["cross-entropy", "binary-cross-entropy"])
def test_shares_of_classes_are_smoothed_as_classes_are(name: str) -> None:
    recipe = RECIPES["default"].with_changes({"loss": name, "label_smoothing": 0.3})
    loss = training_loss(recipe, "single-label", None)
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 2.0, -1.0]])
    classes = torch.tensor([2, 0])
    shares = torch.nn.functional.one_hot(classes, 3).float()
    of_classes = loss(logits, classes, None)
    assert loss(logits, shares, None).item() == pytest.approx(of_classes.item())
    plain = training_loss(recipe.with_changes({"label_smoothing": 0}), "single-label", None)
    assert plain(logits, shares, None).item() != pytest.approx(of_classes.item())
