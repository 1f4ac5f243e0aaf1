"""The loss of a recipe: torch's and timm's, with what is not known left out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from deploybench.data.dataset import LabelTask
from deploybench.training.recipe import Recipe

TrainingLoss = Callable[[torch.Tensor, torch.Tensor, "torch.Tensor | None"], torch.Tensor]
"""Logits (images x classes), targets, and which of them are known, to the mean loss."""


def training_loss(recipe: Recipe, task: LabelTask, weights: torch.Tensor | None) -> TrainingLoss:
    """The loss that is trained with.

    ``weights`` are those of the classes where the recipe balances by the loss: ``weight`` of the
    cross-entropy, ``pos_weight`` of the binary one of a multi-label set.
    """
    if task == "multi-label":
        return _several_labels(recipe.label_smoothing, weights)
    if recipe.loss == "binary-cross-entropy":
        return _one_against_all(recipe.label_smoothing, weights)
    # It takes classes as well as the shares of them that mixup makes.
    entropy = nn.CrossEntropyLoss(weight=weights, label_smoothing=recipe.label_smoothing)

    def loss(
        logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None
    ) -> torch.Tensor:
        mean: torch.Tensor = entropy(logits, targets)
        return mean

    return loss


def evaluation_loss(
    logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None
) -> torch.Tensor:
    """The mean loss without smoothing and weights: what can be compared between recipes.

    Cross-entropy of classes (int64), binary cross-entropy of targets of images x classes.
    """
    if targets.dim() == 1:
        return nn.functional.cross_entropy(logits, targets)
    return _of_known(
        nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none"), known
    )


def _several_labels(smoothing: float, weights: torch.Tensor | None) -> TrainingLoss:
    def loss(
        logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None
    ) -> torch.Tensor:
        # Towards one half: each label is a question of its own.
        targets = targets * (1 - smoothing) + 0.5 * smoothing
        each = nn.functional.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=weights, reduction="none"
        )
        return _of_known(each, known)

    return loss


def _one_against_all(smoothing: float, weights: torch.Tensor | None) -> TrainingLoss:
    from timm.loss.binary_cross_entropy import BinaryCrossEntropy

    entropy = BinaryCrossEntropy(smoothing=smoothing, weight=weights)

    def loss(
        logits: torch.Tensor, targets: torch.Tensor, known: torch.Tensor | None
    ) -> torch.Tensor:
        if targets.dim() == 2:
            # timm smooths classes alone and takes the shares that mixup makes as they are. Mixing
            # and smoothing are both linear: it is the mixture of what timm makes of each class.
            targets = targets * (1 - smoothing) + smoothing / targets.shape[1]
        mean: torch.Tensor = entropy(logits, targets)
        return mean

    return loss


def _of_known(each: torch.Tensor, known: torch.Tensor | None) -> torch.Tensor:
    """The mean over what is known; 0 where nothing of a batch is."""
    if known is None:
        return each.mean()
    return (each * known).sum() / known.sum().clamp(min=1)
