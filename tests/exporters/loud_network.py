"""A network that eight bits cannot hold."""

from __future__ import annotations

import torch


def one_loud_channel() -> torch.nn.Module:
    """One channel is a thousand times as loud as the others, and weighs as much less: eight bits
    for all channels leave nothing of the others."""
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.Linear(8, 5)
    with torch.no_grad():
        first.weight[0] *= 1000
        last.weight[:, 0] /= 1000
    pool = torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(first, torch.nn.ReLU(), pool, torch.nn.Flatten(), last)
