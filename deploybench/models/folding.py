"""Which batch norms follow which layers: what exporters fold into the layers' weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from deploybench.artifacts.weights_audit import Folded
from deploybench.models.initialise import BATCH_NORMS, WEIGHTED


@torch.no_grad()
def find_folds(module: nn.Module, images: torch.Tensor) -> tuple[Folded, ...]:
    """The pairs of a layer and the norm that takes its output in, seen in one call.

    ``images`` are float32, (images, channels, height, width).
    """
    layers: dict[int, tuple[str, torch.Tensor]] = {}
    folds = []

    def remember(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, output: torch.Tensor) -> None:
            # The tensor is kept with its identity, or another one could get the same.
            layers[id(output)] = (name, output)

        return hook

    def look_up(name: str, epsilon: float) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            layer = layers.get(id(inputs[0]))
            if layer is not None:
                folds.append(Folded(layer[0], name, epsilon))

        return hook

    hooks = []
    for name, part in module.named_modules():
        if isinstance(part, WEIGHTED):
            hooks.append(part.register_forward_hook(remember(name)))
        elif isinstance(part, BATCH_NORMS):
            hooks.append(part.register_forward_pre_hook(look_up(name, part.eps)))
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(dict.fromkeys(folds))
