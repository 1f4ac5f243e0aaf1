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

    # Layers are rescaled while one call runs, in hooks: the input of each is then already that
    # which the rescaled layers before it put out.
    rescaled: set[int] = set()

    def after_layer(layer: nn.Module, _: object, output: torch.Tensor) -> torch.Tensor:
        return _to_unit_variance(layer, output, rescaled)

    def before_norm(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        _to_batch_statistics(norm, inputs[0])

    hooks = []
    for part in module.modules():
        if isinstance(part, WEIGHTED):
            hooks.append(part.register_forward_hook(after_layer))
        elif isinstance(part, BATCH_NORMS):
            hooks.append(part.register_forward_pre_hook(before_norm))
    try:
        module(example)
    finally:
        for hook in hooks:
            hook.remove()


def _open_closed_scales(module: nn.Module, generator: torch.Generator) -> None:
    """Open zero-initialised norms, layer scales and weights, which hide the branch behind them."""
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.numel() == 0 or parameter.abs().max() >= CLOSED_SCALE:
                continue
            if name == "weight" and isinstance(part, WEIGHTED):
                # 1 / sqrt(inputs of one output): outputs as spread as inputs
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
            elif name == "weight" and parameter.dim() == 1:
                parameter.fill_(OPEN_NORM_SCALE)
            elif "gamma" in name or "scale" in name:
                parameter.fill_(OPEN_LAYER_SCALE)


def _to_unit_variance(layer: nn.Module, output: torch.Tensor, rescaled: set[int]) -> torch.Tensor:
    """Scale the layer's weight so that its output without the bias has unit standard deviation.

    ``rescaled`` holds the identities of the weights that were scaled before: one that several
    layers share is scaled once.
    """
    weight = layer.weight
    if not isinstance(weight, torch.Tensor) or not isinstance(output, torch.Tensor):
        return output
    if id(weight) in rescaled:
        return output
    rescaled.add(id(weight))
    bias = _bias_beside(layer, output)
    product = output - bias
    std = product.std()
    if not torch.isfinite(std) or std < SMALLEST_STD:
        return output
    weight.div_(std)
    return product / std + bias  # what the layer puts out with its new weight


def _bias_beside(layer: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """The layer's bias in a shape that goes with its output, or 0 where it has none.

    Channels are the last dimension of a linear layer's output, and dimension 1 of a convolution's.
    """
    if not isinstance(layer.bias, torch.Tensor):
        return torch.zeros(())
    channels = 1
    if isinstance(layer, nn.Linear):
        channels = output.dim() - 1
    shape = [1] * output.dim()
    shape[channels] = -1
    return layer.bias.view(shape)


def _to_batch_statistics(norm: nn.Module, input: torch.Tensor) -> None:  # noqa: A002 - torch's own word
    """Set the running mean and variance to those of this input, if it has enough values.

    They are per channel, which is dimension 1 of the input.
    """
    running_mean = norm.running_mean
    running_variance = norm.running_var
    if not isinstance(running_mean, torch.Tensor) or not isinstance(running_variance, torch.Tensor):
        return  # a norm that keeps no statistics
    channels = input.shape[1]
    if input.numel() // channels < FEWEST_VALUES:
        return
    over = [dimension for dimension in range(input.dim()) if dimension != 1]
    variance, mean = torch.var_mean(input, dim=over, correction=0)
    running_mean.copy_(mean)
    running_variance.copy_(variance)
