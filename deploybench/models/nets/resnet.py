"""Attention-augmented ResNet-34 and ResNet-50 for ImageNet (Bello et al. 2019, section 4.2).

timm's ResNet of He et al. 2016 in which the first 3x3 convolution of every block of the last three
stages is attention-augmented: the only one of a bottleneck, the first of the two of a basic block,
as the paper does it in its Wide-ResNet. With 224 pixels the maps are 28, 14 and 7 wide. 8 heads, at
least 20 key channels a head; 0.2 of the channels for keys and 0.1 for values, and 0.25 for both in
the smaller ResNet-34. That gives the parameters of the paper's table, 20.7 and 25.8 million.
"""

from __future__ import annotations

import math
from typing import Any, cast

import timm
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d, Augmentation

FIRST_AUGMENTED = 2
"""Stages count from 1: the first is never augmented, its maps are 56 wide."""
STAGES = 4
AUGMENTED_CONVOLUTION = {34: "conv1", 50: "conv2"}
"""By depth, timm's name of the first 3x3 convolution in a block: it also has the block's stride."""
AUGMENTATIONS = {
    34: Augmentation(key_share=0.25, value_share=0.25),
    50: Augmentation(key_share=0.2, value_share=0.1),
}
Size = tuple[int, int]


def aa_resnet(
    num_classes: int = 1000, in_chans: int = 3, img_size: Size = (224, 224), *, depth: int
) -> nn.Module:
    """ResNet of that depth (34 or 50) with attention in its last three stages.

    Images of ``img_size`` (height, width) to logits.
    """
    net = cast(Any, timm.create_model(f"resnet{depth}", num_classes=num_classes, in_chans=in_chans))
    net.in_chans = in_chans
    height, width = _halved(_halved(img_size))
    for stage in range(FIRST_AUGMENTED, STAGES + 1):
        height, width = _halved((height, width))  # every stage but the first begins with a stride
        for block in getattr(net, f"layer{stage}"):
            name = AUGMENTED_CONVOLUTION[depth]
            plain = getattr(block, name)
            augmented = AAConv2d(
                plain.in_channels,
                plain.out_channels,
                plain.kernel_size[0],
                AUGMENTATIONS[depth],
                (height, width),
                plain.stride[0],
            )
            setattr(block, name, augmented)
    return cast(nn.Module, net)


def _halved(size: Size) -> Size:
    """After a stride of 2 with padding: the last step may be a part of one."""
    height, width = size
    return math.ceil(height / 2), math.ceil(width / 2)
