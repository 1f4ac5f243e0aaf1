"""Random values for what a checkpoint lacks, such that parity means something.

The tensors that were loaded stay what they are. The others are initialised as a whole random model
is, and each layer among them is then rescaled to outputs of unit standard deviation on what the
loaded layers before it really put out, each batch norm given the statistics of its real input.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from deploybench.models.initialise import BATCH_NORMS, WEIGHTED, spread_random_weights

SMALLEST_STD = 1e-12


@torch.no_grad()
def fill_missing(
    module: nn.Module, missing: Collection[str], example: torch.Tensor, seed: int
) -> None:
    """Give the tensors of ``module`` that are named ``missing`` random values, in place.

    ``example`` is float32, images x channels x height x width.
    """
    tensors = module.state_dict()
    loaded = {name: tensor.clone() for name, tensor in tensors.items() if name not in missing}
    spread_random_weights(module, example, seed)
    module.load_state_dict(loaded, strict=False)

    def after_layer(layer: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        return _to_unit_variance(layer, output)

    def before_norm(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        _to_statistics_of(norm, inputs[0])

    hooks = []
    for path, part in module.named_modules():
        start = f"{path}." if path else ""
        if isinstance(part, WEIGHTED) and f"{start}weight" in missing:
            hooks.append(part.register_forward_hook(after_layer))
        elif isinstance(part, BATCH_NORMS) and f"{start}running_var" in missing:
            hooks.append(part.register_forward_pre_hook(before_norm))
    try:
        module(example)
    finally:
        for hook in hooks:
            hook.remove()


def _to_unit_variance(layer: nn.Module, output: torch.Tensor) -> torch.Tensor:
    """Scale the layer's weight and bias so that its output has unit standard deviation."""
    std = output.std()
    if not torch.isfinite(std) or std < SMALLEST_STD:
        return output
    for parameter in (layer.weight, layer.bias):
        if isinstance(parameter, torch.Tensor):
            parameter.div_(std)
    return output / std


def _to_statistics_of(norm: nn.Module, values: torch.Tensor) -> None:
    """Set the running mean and variance to those of these values; channels are dimension 1."""
    mean, variance = norm.running_mean, norm.running_var
    if not isinstance(mean, torch.Tensor) or not isinstance(variance, torch.Tensor):
        return
    over = [dimension for dimension in range(values.dim()) if dimension != 1]
    of_values = torch.var_mean(values, dim=over, correction=0)
    if bool((of_values[0] > SMALLEST_STD).all()):
        variance.copy_(of_values[0])
        mean.copy_(of_values[1])
