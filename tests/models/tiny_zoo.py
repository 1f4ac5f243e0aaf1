"""Small forms of the zoo's networks: each mechanism once, on 32 or 64 pixels."""

from __future__ import annotations

import timm
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d, Augmentation
from deploybench.models.nets.attention import attention_layer

VIT_SIZE = 64


def _vit(attention: str, rank: int | None = None) -> nn.Module:
    layer = attention_layer(attention, tokens=(VIT_SIZE // 16) ** 2 + 1, rank=rank)
    shape = {"img_size": VIT_SIZE, "embed_dim": 48, "num_heads": 3, "depth": 2, "num_classes": 5}
    return _described(
        timm.create_model("vit_tiny_patch16_224", attn_layer=layer, **shape), VIT_SIZE
    )


def _described(net: nn.Module, size: int) -> nn.Module:
    net.pretrained_cfg = {"input_size": (3, size, size), "classifier": "head"}
    return net


def linformer() -> nn.Module:
    return _vit("linformer", rank=8)


def performer() -> nn.Module:
    return _vit("performer", rank=8)


def fastformer() -> nn.Module:
    return _vit("fastformer")


def xca() -> nn.Module:
    return _vit("xca")


def augmented() -> nn.Module:
    """Both forms of augmented convolution, with InstanceNorm between, on 32 pixels."""
    one = AAConv2d(16, 40, 1, Augmentation(heads=4, value_share=0.4), (16, 16))
    three = AAConv2d(40, 48, 3, Augmentation(heads=4, value_share=0.2), (8, 8), stride=2)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        one,
        nn.InstanceNorm2d(40),
        nn.ReLU(),
        three,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 5),
    )
    return _described(net, 32)
