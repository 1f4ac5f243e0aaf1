"""Gives random weights activations and logits with spread, so that parity means something.

At plain random initialisation a deep network puts out almost nothing (a ResNet-50 about 1e-9) and
residual branches are switched off by zero-initialised scales; every tolerance then passes, and a
changed weight is not seen. So: scales that start at (nearly) zero are opened, and each linear or
convolution layer is rescaled, in order of execution, to outputs of unit standard deviation on the
reference images (layer-sequential unit variance, Mishkin & Matas 2016, without its orthogonal
start), and each batch norm is given the statistics of its input, as training would have done.
"""

from __future__ import annotations

import torch
from torch import nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CLOSED_SCALE = 1e-2
OPEN_LAYER_SCALE = 0.5
OPEN_NORM_SCALE = 0.2
"""Of zero-initialised norms, which end residual branches.

At 1.0 a ResNet-50 magnifies rounding errors: its bf16 outputs were off by 0.54 of their spread,
fp16 by 0.10; at 0.2, by 0.04 and 0.006, as weak trained branches would be.
"""
SMALLEST_STD = 1e-12
FEWEST_VALUES = 64
"""Per channel: the variance of four values can be nearly zero, and the norm would then magnify
rounding errors."""


@torch.no_grad()
def spread_random_weights(module: nn.Module, example: torch.Tensor, seed: int) -> None:
    """Rescale ``module`` in place on ``example`` (float32, images x channels x height x width)."""
    generator = torch.Generator().manual_seed(seed)
    _open_closed_scales(module, generator)
    seen: set[int] = set()
    hooks = [
        part.register_forward_hook(lambda layer, _, output: _to_unit_variance(layer, output, seen))
        for part in module.modules()
        if isinstance(part, WEIGHTED)
    ]
    hooks += [
        part.register_forward_pre_hook(lambda norm, inputs: _to_batch_statistics(norm, inputs[0]))
        for part in module.modules()
        if isinstance(part, BATCH_NORMS)
    ]
    try:
        module(example)
    finally:
        for hook in hooks:
            hook.remove()


def _open_closed_scales(module: nn.Module, generator: torch.Generator) -> None:
    """Open zero-initialised norms, layer scales and weights, which would hide the branch behind
    them."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.numel() == 0 or parameter.abs().max() >= CLOSED_SCALE:
                continue
            if name == "weight" and isinstance(part, WEIGHTED):
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
            elif name == "weight" and parameter.dim() == 1:
                parameter.fill_(OPEN_NORM_SCALE)
            elif "gamma" in name or "scale" in name:
                parameter.fill_(OPEN_LAYER_SCALE)


def _to_unit_variance(layer: nn.Module, output: torch.Tensor, seen: set[int]) -> torch.Tensor:
    """Scale the layer's weight so that its output without the bias has unit standard deviation."""
    weight = layer.weight
    if (
        id(weight) in seen
        or not isinstance(weight, torch.Tensor)
        or not isinstance(output, torch.Tensor)
    ):
        return output
    seen.add(id(weight))
    shape = [1] * output.dim()
    shape[-1 if isinstance(layer, nn.Linear) else 1] = -1
    bias = layer.bias.view(shape) if isinstance(layer.bias, torch.Tensor) else torch.zeros(())
    linear = output - bias
    std = linear.std()
    if not torch.isfinite(std) or std < SMALLEST_STD:
        return output
    weight.div_(std)
    return linear / std + bias


def _to_batch_statistics(norm: nn.Module, input: torch.Tensor) -> None:  # noqa: A002 - torch's own word
    """Set the running mean and variance (per channel, dimension 1) to those of this input, if it
    has enough values."""
    mean, variance = norm.running_mean, norm.running_var
    if not isinstance(mean, torch.Tensor) or not isinstance(variance, torch.Tensor):
        return
    if input.numel() // input.shape[1] < FEWEST_VALUES:
        return
    others = [dimension for dimension in range(input.dim()) if dimension != 1]
    found_variance, found_mean = torch.var_mean(input, dim=others, correction=0)
    mean.copy_(found_mean)
    variance.copy_(found_variance)
