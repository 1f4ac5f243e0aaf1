"""Grad-CAM for every model: CNNs, windows and tokens.

Selvaraju et al. 2017: the channels of a late feature map, each weighted by the mean over the
positions of the gradient of the answer's logit; what is negative is cut off. Libraries take the
second axis for the channels, which of a transformer are tokens; here the layout is found first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deploybench.attention.grids import grid_of
from deploybench.errors import DeployBenchError


@dataclass(frozen=True)
class Cam:
    """height x width of the layer's map, 0 or more; ``layer`` and ``answer`` say of what."""

    values: npt.NDArray[np.float64]
    layer: str
    answer: int


def grad_cam(model: nn.Module, image: torch.Tensor) -> Cam:
    """Of the first answer for one image (1 x channels x height x width), at the last layer outside
    of an attention whose places have a gradient. Raises DeployBenchError where there is none."""
    size = (int(image.shape[2]), int(image.shape[3]))
    seen: list[tuple[str, torch.Tensor]] = []

    def keep(path: str) -> Any:
        def hook(_: nn.Module, __: object, output: object) -> None:
            if isinstance(output, torch.Tensor) and output.requires_grad and len(output) == 1:
                seen.append((path, output))

        return hook

    hooks = [
        module.register_forward_hook(keep(path))
        for path, module in model.named_modules()
        if path and "att" not in path and not isinstance(module, (nn.Linear, nn.Identity))
    ]
    try:
        with torch.enable_grad():
            output = model(image.detach().requires_grad_(True))
            logits = _logits(output)
            answer = int(logits.argmax())
            maps = [
                (path, tensor) for path, tensor in seen if _channels_last(tensor, size) is not None
            ]
            gradients: tuple[torch.Tensor | None, ...] = ()
            if maps:
                gradients = torch.autograd.grad(
                    logits[answer], [tensor for _, tensor in maps], allow_unused=True
                )
    finally:
        for hook in hooks:
            hook.remove()
    for (path, tensor), gradient in reversed(list(zip(maps, gradients, strict=True))):
        if gradient is None:
            continue
        slopes, values = _channels_last(gradient, size), _channels_last(tensor, size)
        if slopes is None or values is None or not slopes.any():
            continue  # after the last attention only the class token matters
        weights = slopes.mean(dim=(0, 1))
        found = (values.detach() * weights).sum(-1).clamp(min=0)
        return Cam(found.double().numpy(), path, answer)
    raise DeployBenchError(
        f"no layer of {type(model).__name__} has a map of the image with a gradient",
        expected="a network of convolutions or of tokens that keep their places",
    )


def main_tensor(output: object) -> torch.Tensor:
    """The main output, images x ..., of what a model returns: a tensor, or the first of several.

    Raises DeployBenchError for what is no table of numbers.
    """
    while isinstance(output, (tuple, list)):
        output = output[0]
    if isinstance(output, dict):
        output = next(iter(output.values()))
    if not isinstance(output, torch.Tensor) or output.dim() < 2:
        raise DeployBenchError("the model's output is no table of logits", expected="a classifier")
    return output


def _logits(output: object) -> torch.Tensor:
    """The main output's logits, one for each class; of a dense output their mean over places."""
    logits = main_tensor(output)[0]
    return logits if logits.dim() == 1 else logits.flatten(1).mean(1)


def _channels_last(tensor: torch.Tensor, size: tuple[int, int]) -> torch.Tensor | None:
    """height x width x channels of one image's map or tokens; None for anything else."""
    one = tensor[0]
    if one.dim() == 2:
        grid = grid_of(len(one), size)
        return None if grid is None else one[grid.prefix :].unflatten(0, grid.shape)
    if one.dim() != 3:
        return None
    for height, width, found in (
        (one.shape[1], one.shape[2], one.permute(1, 2, 0)),
        (one.shape[0], one.shape[1], one),
    ):
        fits = height <= size[0] and width <= size[1] and height * width >= 4
        # Maps are rounded where a stride does not divide the image.
        if fits and abs(height / size[0] - width / size[1]) < 1 / max(size):
            return found
    return None
