"""Factories of small modules, as a user would write them."""

from __future__ import annotations

import torch
from torch import nn


def dropping(num_classes: int = 10) -> nn.Module:
    """A convolution, a norm with averages, and dropout: all that a resume has to get right."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, num_classes),
    )


class Auxiliary(nn.Module):
    """Returns two outputs while it is trained, as Inception does."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.net = dropping(num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        logits: torch.Tensor = self.net(images)
        if self.training:
            return logits, logits
        return logits


def auxiliary(num_classes: int = 10) -> nn.Module:
    return Auxiliary(num_classes)


def with_softmax(num_classes: int = 10) -> nn.Module:
    """Ends in probabilities: a loss on logits would be wrong."""
    return nn.Sequential(dropping(num_classes), nn.Softmax(dim=1))


def averaging(num_classes: int = 10) -> nn.Module:
    """A norm of which each image has one value a channel: a batch needs two images."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


def frozen_features(num_classes: int = 10) -> nn.Module:
    """Of six tensors the four of the features are kept from training."""
    net = dropping(num_classes)
    assert isinstance(net, nn.Sequential)
    net[:2].requires_grad_(False)
    return net


def frozen(num_classes: int = 10) -> nn.Module:
    """Nothing in it can be trained."""
    return dropping(num_classes).requires_grad_(False)


class Failing(nn.Module):
    """Fails in every step but not when it is looked at: ``error`` is raised from 3 images on."""

    def __init__(self, error: Exception, num_classes: int) -> None:
        super().__init__()
        self.net = dropping(num_classes)
        self.error = error

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise self.error
        logits: torch.Tensor = self.net(images)
        return logits


def out_of_memory(num_classes: int = 10) -> nn.Module:
    error = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")
    return Failing(error, num_classes)


def of_a_fault(num_classes: int = 10) -> nn.Module:
    """Fails with an error that has nothing to do with the number of images."""
    return Failing(ValueError("not enough values to unpack (expected 4, got 3)"), num_classes)
