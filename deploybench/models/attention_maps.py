"""Reads what a model attends to, without changing the model or its exported graph.

The forward pass is the model's own; hooks see the input of each attention layer and compute its
weights from the layer's own parameters. What is comparable across mechanisms and what is not, each
map says itself: ``quantity``, ``axes`` and whether its rows sum to one.

| mechanism | quantity | axes |
| softmax (ViT) | weights | image, head, query, key |
| Performer | implicit weights: phi(q) phi(k)^T / z | image, head, query, key |
| Linformer | effective weights: softmax(q (E k)^T) F, may be negative | image, head, query, key |
| Fastformer | query weights, key weights: one global distribution each | image, head, token |
| XCA, XCiT | channel weights; XCiT also class attention | image, head, channel, channel |
| Swin | window weights, windows of one image one after the other | window, head, query, key |
| AAConv | weights over the feature map, row by row | image, head, query, key |
| CNN | class activation: what each position adds to the first answer's logit | image, y, x |

Class activation: Zhou et al. 2016. XCiT's class attention has one query.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from deploybench.errors import DeployBenchError

PER_TOKEN = ("image", "head", "query", "key")


@dataclass(frozen=True)
class Reading:
    """What one layer attends to.

    ``values`` has a dimension for each of ``axes``; rows are along the last of them.
    """

    quantity: str
    values: torch.Tensor
    axes: tuple[str, ...]
    sums_to_one: bool

    @classmethod
    def of_tokens(cls, quantity: str, values: torch.Tensor, *, sums_to_one: bool) -> Reading:
        """A map from tokens to tokens."""
        return cls(quantity, values, PER_TOKEN, sums_to_one)


@dataclass(frozen=True)
class AttentionMap:
    """A reading and the module path of the layer that it is of."""

    layer: str
    reading: Reading


@runtime_checkable
class Readable(Protocol):
    """A layer that tells its attention for an input."""

    def read(self, x: torch.Tensor) -> list[Reading]: ...


def read_attention(model: nn.Module, images: torch.Tensor) -> list[AttentionMap]:
    """The attention of every layer that has one, in the order of execution.

    Of a model that has none, a CNN, the class activation. ``images`` are normalised, images x
    channels x height x width. Raises DeployBenchError for a model in which nothing can be read, and
    for one in training mode, whose norms would change.
    """
    if model.training:
        raise DeployBenchError("the model is in training mode", action="call model.eval() first")
    maps: list[AttentionMap] = []
    hooks = []
    for path, layer in model.named_modules():
        reader = reader_of(layer)
        if reader is not None:
            hooks.append(
                layer.register_forward_pre_hook(_collect(maps, path, reader), with_kwargs=True)
            )
    try:
        with torch.no_grad():
            if not hooks:
                return [class_activation(model, images)]
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def reader_of(layer: nn.Module) -> Callable[..., list[Reading]] | None:
    """How the attention of ``layer`` is read; None when it has none.

    The reader is called with the layer's own arguments.
    """
    if isinstance(layer, Readable):
        return layer.read
    read = _timm_readers().get(type(layer))
    if read is None:
        return None
    return partial(read, layer)


def class_activation(model: nn.Module, images: torch.Tensor) -> AttentionMap:
    """What each position of the last feature map adds to the logit of the model's first answer.

    Exact for a network that averages its last map and ends in one linear layer: the mean over the
    positions plus the bias is the logit. Raises DeployBenchError for others.
    """
    pool = getattr(model, "global_pool", None)
    classifier = _classifier(model)
    if not isinstance(pool, nn.Module) or not isinstance(classifier, nn.Linear):
        raise DeployBenchError(
            f"nothing that can be read as attention was found in {type(model).__name__}",
            expected="a zoo model, layers with a method 'read', or a CNN with global_pool and a "
            "linear classifier",
        )
    if getattr(pool, "pool_type", "avg") != "avg":
        raise DeployBenchError(
            f"{type(model).__name__} pools by '{pool.pool_type}'", expected="an average"
        )
    pooled: list[torch.Tensor] = []
    hook = pool.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    try:
        answers = model(images).argmax(dim=1)  # images: the class that each is given
    finally:
        hook.remove()
    feature_map = pooled[0]  # images x channels x height x width
    if feature_map.dim() != 4 or feature_map.shape[1] != classifier.in_features:
        raise DeployBenchError(
            f"{type(model).__name__} has layers between its last map and its classifier",
            expected="an average pool right before the linear classifier",
        )
    # The logit is the mean over the positions of the product with the answer's weights.
    weights = classifier.weight[answers]  # images x channels
    values = torch.einsum("bchw,bc->bhw", feature_map, weights)
    reading = Reading("class activation", values, ("image", "y", "x"), sums_to_one=False)
    return AttentionMap("global_pool", reading)


def _collect(
    maps: list[AttentionMap], path: str, reader: Callable[..., list[Reading]]
) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        # timm hands a window's mask on by position or by name
        mask = named.get("mask")
        if len(inputs) > 1:
            mask = inputs[1]
        arguments = [inputs[0]]
        if mask is not None:
            arguments.append(mask)
        maps.extend(AttentionMap(path, reading) for reading in reader(*arguments))

    return hook


def _classifier(model: nn.Module) -> object:
    """The model's last layer, where it names it as timm's models do."""
    get_classifier = getattr(model, "get_classifier", None)
    if not callable(get_classifier):
        return None
    return get_classifier()


@cache
def _timm_readers() -> dict[type[nn.Module], Callable[..., list[Reading]]]:
    from timm.layers.attention import Attention
    from timm.models.cait import ClassAttn
    from timm.models.swin_transformer import WindowAttention
    from timm.models.xcit import XCA

    return {
        Attention: _softmax_attention,
        ClassAttn: _class_attention,
        WindowAttention: _window_attention,
        XCA: _cross_covariance,
    }


def _heads(layer: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """q and k of timm's joint projection: images x heads x tokens x head width."""
    images, tokens, _ = x.shape
    joint = layer.qkv(x)  # images x tokens x (q, k, v by head)
    split = joint.reshape(images, tokens, 3, layer.num_heads, -1)
    q, k, _ = split.permute(2, 0, 3, 1, 4)  # (q, k, v) x images x heads x tokens x head width
    return q, k


def _softmax_attention(layer: Any, x: torch.Tensor) -> list[Reading]:
    q, k = _heads(layer, x)
    logits = layer.q_norm(q) @ layer.k_norm(k).transpose(-2, -1) * layer.scale
    weights = logits.softmax(dim=-1)  # images x heads x queries x keys
    return [Reading.of_tokens("weights", weights, sums_to_one=True)]


def _window_attention(
    layer: Any, x: torch.Tensor, mask: torch.Tensor | None = None
) -> list[Reading]:
    # x: (images x windows) x positions of a window x width, the windows of an image together
    q, k = _heads(layer, x)
    logits = q @ k.transpose(-2, -1) * layer.scale + layer._get_rel_pos_bias()
    if mask is not None:
        # A shifted window holds parts of the map that are no neighbours; the mask, windows x
        # positions x positions, is the same for every image and head.
        windows, area = mask.shape[0], mask.shape[-1]
        by_image = logits.view(-1, windows, layer.num_heads, area, area) + mask.unsqueeze(1)
        logits = by_image.view(-1, layer.num_heads, area, area)
    weights = logits.softmax(dim=-1)  # (images x windows) x heads x positions x positions
    axes = ("window", "head", "query", "key")
    return [Reading("window weights", weights, axes, sums_to_one=True)]


def _class_attention(layer: Any, x: torch.Tensor) -> list[Reading]:
    images, tokens, width = x.shape
    head_width = width // layer.num_heads
    # the class token, the first, is the one query: images x heads x 1 x head width
    q = layer.q(x[:, :1]).reshape(images, 1, layer.num_heads, -1).transpose(1, 2)
    # images x heads x tokens x head width
    k = layer.k(x).reshape(images, tokens, layer.num_heads, -1).transpose(1, 2)
    logits = q @ k.transpose(-2, -1) / math.sqrt(head_width)
    weights = logits.softmax(dim=-1)  # images x heads x 1 x tokens
    return [Reading.of_tokens("class attention", weights, sums_to_one=True)]


def _cross_covariance(layer: Any, x: torch.Tensor) -> list[Reading]:
    q, k = _heads(layer, x)
    # of unit length over the tokens, and turned: images x heads x channels x tokens
    q = nn.functional.normalize(q, dim=-2).transpose(-2, -1)
    k = nn.functional.normalize(k, dim=-2).transpose(-2, -1)
    logits = q @ k.transpose(-2, -1) * layer.temperature
    weights = logits.softmax(dim=-1)  # images x heads x channels x channels
    axes = ("image", "head", "channel", "channel")
    return [Reading("channel weights", weights, axes, sums_to_one=True)]
