"""What the softmax of a known layer means: its quantity and its axes, by the layer's class.

By the class's full name, so that nothing is imported and no version of timm is asked for what it
does not have. Each is held by a test that makes the layer's output from its map, or by the shape of
the map alone. A layer that is not known has softmax weights, with axes by number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

PER_TOKEN = ("image", "head", "query", "key")
PER_WINDOW = ("window", "head", "query", "key")
PER_CHANNEL = ("image", "head", "channel", "channel")
Label = tuple[str, tuple[str, ...]]

_WEIGHTS: Label = ("weights", PER_TOKEN)
_WINDOWS: Label = ("window weights", PER_WINDOW)
_CLASS: Label = ("class attention", PER_TOKEN)
_CHANNELS: Label = ("channel weights", PER_CHANNEL)
LABELS: dict[str, Label] = {
    "torch.nn.modules.activation.MultiheadAttention": _WEIGHTS,
    "timm.layers.attention.Attention": _WEIGHTS,
    "timm.layers.attention.AttentionRope": _WEIGHTS,
    "timm.models.beit.Attention": _WEIGHTS,
    "timm.models.eva.EvaAttention": _WEIGHTS,
    "timm.models.visformer.Attention": _WEIGHTS,
    "timm.models.levit.Attention": _WEIGHTS,
    "timm.models.levit.AttentionDownsample": _WEIGHTS,
    "timm.models.pvt_v2.Attention": _WEIGHTS,
    "timm.models.twins.GlobalSubSampleAttn": _WEIGHTS,
    "timm.models.mvitv2.MultiScaleAttention": _WEIGHTS,
    "timm.models.volo.Attention": _WEIGHTS,
    "timm.models.convit.MHSA": _WEIGHTS,
    "timm.models.cait.TalkingHeadAttn": ("mixed weights", PER_TOKEN),
    "timm.models.cait.ClassAttn": _CLASS,
    "timm.models.volo.ClassAttention": _CLASS,
    "timm.models.crossvit.CrossAttention": _CLASS,
    "timm.models.swin_transformer.WindowAttention": _WINDOWS,
    "timm.models.swin_transformer_v2.WindowAttention": _WINDOWS,
    "timm.models.davit.WindowAttention": _WINDOWS,
    "timm.models.maxxvit.AttentionCl": _WINDOWS,
    "timm.models.maxxvit.Attention2d": _WINDOWS,
    "timm.models.twins.LocallyGroupedAttn": (
        "window weights",
        ("image", "window", "head", "query", "key"),
    ),
    "timm.models.nest.Attention": ("window weights", ("image", "head", "window", "query", "key")),
    "timm.models.volo.OutlookAttention": (
        "neighbourhood weights",
        ("image", "head", "window", "output", "neighbour"),
    ),
    "timm.models.xcit.XCA": _CHANNELS,
    "timm.models.edgenext.CrossCovarianceAttn": _CHANNELS,
    "timm.models.coat.FactorAttnConvRelPosEnc": (
        "key weights",
        ("image", "head", "channel", "token"),
    ),
}


def label_of(layer: nn.Module, dimensions: int) -> Label:
    """The quantity and the axes of the layer's softmax, which has so many dimensions."""
    for ancestor in type(layer).__mro__:
        label = LABELS.get(f"{ancestor.__module__}.{ancestor.__qualname__}")
        if label is not None and len(label[1]) == dimensions:
            return label
    axes = ("image", *(f"axis {number}" for number in range(1, dimensions)))
    return "softmax weights", axes


def mixed_by(layer: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What a layer does to its softmax before the values: CaiT's talking heads mix the heads.

    Touvron et al. 2021, "Going deeper with Image Transformers"; Shazeer et al. 2020, "Talking-Heads
    Attention". None for a layer that uses it as it is.
    """
    if f"{type(layer).__module__}.{type(layer).__qualname__}" != "timm.models.cait.TalkingHeadAttn":
        return None

    def mix(weights: torch.Tensor) -> torch.Tensor:
        by_pair = weights.permute(0, 2, 3, 1)  # images x queries x keys x heads
        mixed: torch.Tensor = layer.proj_w(by_pair)
        return mixed.permute(0, 3, 1, 2)

    return mix
