"""Gives random weights activations and logits with spread, so that parity means something.

At plain random initialisation a deep network puts out almost nothing (a ResNet-50 about 1e-9) and
residual branches are switched off by zero-initialised scales; every tolerance then passes, and a
changed weight is not seen. Biases start at 0 and the weights of norms at 1: an exporter that loses
one changes nothing. So: scales that start at (nearly) zero are opened, what starts at one value is
given as much variety as training gives it, each linear or convolution layer is rescaled, in order
of execution, to outputs of unit standard deviation on the reference images (layer-sequential unit
variance, Mishkin & Matas 2016, without its orthogonal start), and each batch norm is given the
statistics of its input, as training would have done.
"""

from __future__ import annotations

import torch
from torch import nn

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CLOSED_SCALE = 1e-2
OPEN_LAYER_SCALE = 1.0
"""Of layer scales that start at (nearly) zero, as if the branch had none."""
OPEN_NORM_SCALE = 0.6
"""Of zero-initialised norms, which end residual branches.

The smaller both are, the less is seen of what a branch loses: at 0.3 and layer scales of 0.5 a
third of what LeViT may lose, and a sixth of PoolFormer's, changed the outputs by no more than bf16
rounds them. What is larger magnifies rounding errors, but little: a ResNet-50's bf16 outputs at 224
pixels were off by 0.0071 of their spread (root mean square) at 0.3, and by 0.0085 at 0.6.
"""
SCALE_VARIETY = 0.4
"""The standard deviation of what starts at one value (norm weights), and of what the output
channels of a layer are multiplied with, relative to that value."""
BIAS_VARIETY = 0.3
"""The standard deviation of a bias, in units of the activations that it is added to (which have
unit spread)."""
BATCH_NORM_BIAS = 0.5
"""The mean of a batch norm's bias, in the same units.

At 0 a chain of batch norms and activations magnifies rounding errors, by a sixth at each of
EfficientNet-B0's layers: its bf16 outputs at 96 pixels were off by 0.4 of their spread (root mean
square); at 0.5, where more of an activation's input lies on its straight part, by 0.04.
"""
EMBEDDING_VARIETY = 0.5
"""The standard deviation of class tokens, position embeddings and tables of relative positions,
which start at 0 or 0.02 and are added to what has unit spread."""
SMALLEST_EMBEDDING = 0.1
"""An embedding that starts with less than this is given :data:`EMBEDDING_VARIETY`."""
MOST_DEVIATIONS = 2.0
"""Draws lie within this many standard deviations: no norm weight changes its sign."""
SMALLEST_STD = 1e-12
FEWEST_VALUES = 64
"""Per channel: the variance of four values can be nearly zero, and the norm would then magnify
rounding errors."""


@torch.no_grad()
def spread_random_weights(module: nn.Module, example: torch.Tensor, seed: int) -> None:
    """Rescale ``module`` in place on ``example`` (float32, images x channels x height x width)."""
    generator = torch.Generator().manual_seed(seed)
    _open_closed_weights(module, generator)
    _give_variety(module, generator)

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


def _open_closed_weights(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of layers that start at (nearly) zero, which hide what is behind them."""
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if not isinstance(part, WEIGHTED) or not isinstance(weight, nn.Parameter):
            continue
        if weight.numel() and weight.abs().max() < CLOSED_SCALE:
            # 1 / sqrt(inputs of one output): outputs as spread as inputs
            weight.normal_(std=weight[0].numel() ** -0.5, generator=generator)


def _give_variety(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter values such as training would.

    Where a batch norm sees too few values to take its statistics from, its running mean and
    variance keep those that are drawn here.
    """
    drawn: set[int] = set()
    for part in module.modules():
        tensors: dict[str, torch.Tensor] = dict(part.named_parameters(recurse=False))
        if isinstance(part, BATCH_NORMS):
            tensors |= dict(part.named_buffers(recurse=False))
        for name, tensor in tensors.items():
            shared = id(tensor) in drawn
            if shared or not tensor.is_floating_point() or not tensor.numel():
                continue
            drawn.add(id(tensor))
            if isinstance(part, WEIGHTED) and name == "weight":
                _vary_channels(tensor, generator)
            elif isinstance(part, WEIGHTED) and name == "bias":
                tensor.add_(_draws(tensor, generator), alpha=BIAS_VARIETY)
            else:
                _vary(name, tensor, generator)
            if isinstance(part, BATCH_NORMS) and name == "bias":
                tensor.add_(BATCH_NORM_BIAS)


def _vary_channels(weight: torch.Tensor, generator: torch.Generator) -> None:
    """Scale each output channel (dimension 0) by another factor.

    Else the running variances of all channels behind it would be about the same.
    """
    factors = 1 + SCALE_VARIETY * _draws(weight.flatten(1)[:, 0], generator)
    weight.mul_(factors.view(-1, *[1] * (weight.dim() - 1)))


def _vary(name: str, tensor: torch.Tensor, generator: torch.Generator) -> None:
    """Give one parameter variety, in place; what it is for shows in its values and its name."""
    draws = _draws(tensor, generator)
    first = float(tensor.flatten()[0])
    constant = bool((tensor == first).all())
    largest = float(tensor.abs().max())
    if tensor.dim() > 1 and _is_embedding(name, constant=constant):
        if float(tensor.std(correction=0)) < SMALLEST_EMBEDDING:
            tensor.copy_(draws * EMBEDDING_VARIETY)
    elif not constant:
        return  # drawn by the model itself
    elif largest == 0 and name == "weight" and tensor.dim() == 1:
        tensor.copy_(OPEN_NORM_SCALE * (1 + SCALE_VARIETY * draws))
    elif largest < CLOSED_SCALE and _is_scale(name, tensor, largest):
        tensor.copy_(OPEN_LAYER_SCALE * (1 + SCALE_VARIETY * draws))
    elif largest == 0:
        tensor.copy_(BIAS_VARIETY * draws)
    else:
        tensor.mul_(1 + SCALE_VARIETY * draws)


def _is_embedding(name: str, *, constant: bool) -> bool:
    """Whether the parameter is added to tokens or to attention's logits."""
    words = ("token", "embed", "pos", "table", "attention_bias")
    return any(word in name for word in words) and (constant or "scale" not in name)


def _is_scale(name: str, tensor: torch.Tensor, largest: float) -> bool:
    """Whether something that starts at (nearly) zero is multiplied with a branch.

    A bias starts at exactly 0; a scale at a small number, or it is called one.
    """
    if largest > 0 or "gamma" in name or "scale" in name:
        return True
    return tensor.numel() == 1 and "bias" not in name


def _draws(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Standard normal values in the tensor's shape, within :data:`MOST_DEVIATIONS`."""
    draws = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
    return draws.clamp_(-MOST_DEVIATIONS, MOST_DEVIATIONS).to(tensor.dtype)


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
