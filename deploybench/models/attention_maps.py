"""Reads what a model attends to, for any model of the zoo, without changing the model or its
exported graph.

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
from functools import cache
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
    """The attention of every layer that has one, in the order of execution; a CNN's class
    activation otherwise.

    ``images`` are normalised, images x channels x height x width. Raises DeployBenchError for a
    model in which nothing can be read, and for one in training mode, whose norms would change.
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
    """How the attention of ``layer`` is read: called with the layer's own arguments; None when it
    has none."""
    if isinstance(layer, Readable):
        return layer.read
    found = _timm_readers().get(type(layer))
    return None if found is None else lambda *inputs, **named: found(layer, *inputs, **named)


def class_activation(model: nn.Module, images: torch.Tensor) -> AttentionMap:
    """What each position of the last feature map adds to the logit of the model's first answer.

    Exact for a network that averages its last map and ends in one linear layer: the mean over the
    positions plus the bias is the logit. Raises DeployBenchError for others.
    """
    pool, classifier = getattr(model, "global_pool", None), _classifier(model)
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
    seen: list[torch.Tensor] = []
    hook = pool.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        answers = model(images).argmax(dim=1)
    finally:
        hook.remove()
    if seen[0].dim() != 4 or seen[0].shape[1] != classifier.in_features:
        raise DeployBenchError(
            f"{type(model).__name__} has layers between its last map and its classifier",
            expected="an average pool right before the linear classifier",
        )
    values = torch.einsum("bchw,bc->bhw", seen[0], classifier.weight[answers])
    return AttentionMap(
        "global_pool", Reading("class activation", values, ("image", "y", "x"), False)
    )


def _collect(
    maps: list[AttentionMap], path: str, reader: Callable[..., list[Reading]]
) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        x, *others = inputs
        mask = others[0] if others else named.get("mask")
        found = reader(x) if mask is None else reader(x, mask)
        maps.extend(AttentionMap(path, reading) for reading in found)

    return hook


def _classifier(model: nn.Module) -> object:
    get = getattr(model, "get_classifier", None)
    return get() if callable(get) else None


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
    q, k, _ = (
        layer.qkv(x)
        .reshape(images, tokens, 3, layer.num_heads, -1)
        .permute(2, 0, 3, 1, 4)
        .unbind(0)
    )
    return q, k


def _softmax_attention(layer: Any, x: torch.Tensor) -> list[Reading]:
    q, k = _heads(layer, x)
    weights = (layer.q_norm(q) @ layer.k_norm(k).transpose(-2, -1) * layer.scale).softmax(dim=-1)
    return [Reading.of_tokens("weights", weights, sums_to_one=True)]


def _window_attention(
    layer: Any, x: torch.Tensor, mask: torch.Tensor | None = None
) -> list[Reading]:
    q, k = _heads(layer, x)
    logits = q @ k.transpose(-2, -1) * layer.scale + layer._get_rel_pos_bias()
    if mask is not None:
        windows, area = mask.shape[0], mask.shape[-1]
        by_image = logits.view(-1, windows, layer.num_heads, area, area) + mask.unsqueeze(1)
        logits = by_image.view(-1, layer.num_heads, area, area)
    axes = ("window", "head", "query", "key")
    return [Reading("window weights", logits.softmax(dim=-1), axes, True)]


def _class_attention(layer: Any, x: torch.Tensor) -> list[Reading]:
    images, tokens, width = x.shape
    q = layer.q(x[:, :1]).reshape(images, 1, layer.num_heads, -1).transpose(1, 2)
    k = layer.k(x).reshape(images, tokens, layer.num_heads, -1).transpose(1, 2)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(width // layer.num_heads)).softmax(dim=-1)
    return [Reading.of_tokens("class attention", weights, sums_to_one=True)]


def _cross_covariance(layer: Any, x: torch.Tensor) -> list[Reading]:
    q, k = (nn.functional.normalize(part, dim=-2).transpose(-2, -1) for part in _heads(layer, x))
    weights = (q @ k.transpose(-2, -1) * layer.temperature).softmax(dim=-1)
    return [Reading("channel weights", weights, ("image", "head", "channel", "channel"), True)]
