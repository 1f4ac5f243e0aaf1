"""The first convolution of a network at another number of channels than it was trained with."""

from __future__ import annotations

import torch
from torch import nn

COLOURS, GREY = 3, 1


def at_own_channels(
    module: nn.Module, state: dict[str, torch.Tensor], channels: int
) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The state with first convolutions for the module's own ``channels``, and what was done to
    them in sentences.

    Those of colours are summed for a model of grey images, and repeated and scaled down for more
    channels: timm's ``adapt_input_conv``. Those of grey images are repeated for colours, and each
    has a share: equal channels then give what the grey image gave. Others stay as they are.
    """
    from timm.models import adapt_input_conv

    adapted = dict(state)
    said: list[str] = []
    for path, layer in module.named_modules():
        name = f"{path}.weight"
        given = state.get(name)
        if not isinstance(layer, nn.Conv2d) or given is None or layer.in_channels != channels:
            continue
        # Both are (outputs, inputs, height, width).
        own = layer.weight
        if given.dim() != 4 or given.shape[1] == own.shape[1] or layer.groups != 1:
            continue
        if (given.shape[0], *given.shape[2:]) != (own.shape[0], *own.shape[2:]):
            continue
        if given.shape[1] == COLOURS:
            adapted[name] = adapt_input_conv(channels, given)
        elif given.shape[1] == GREY:
            adapted[name] = given.repeat(1, channels, 1, 1) / channels
        else:
            continue
        said.append(
            f"the first convolution ({path}) was of {given.shape[1]} input channels, and is "
            f"adapted to {channels}"
        )
    return adapted, tuple(said)
