"""WideResNet-28-10 for small images (Zagoruyko & Komodakis 2016), and its attention-augmented form.

``preactivation`` False is the body of the seeds (norm and ReLU after the convolution, a norm in the
shortcut), True the paper's. Augmented is the first convolution of every block of the second and
third stage (Bello et al. 2019).
"""

from __future__ import annotations

import math

import torch
from timm.layers.adaptive_avgmax_pool import SelectAdaptivePool2d
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d, Augmentation
from deploybench.models.nets.densenet import CIFAR_NORMALISATION

DEPTH, WIDEN = 28, 10
STEM_CHANNELS = 16
Size = tuple[int, int]


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; norm and ReLU follow each convolution."""

    def __init__(self, in_channels: int, channels: int, stride: int, first: nn.Module) -> None:
        super().__init__()
        self.conv1 = first
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            projection = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm1(self.conv1(x)).relu()
        return (self.norm2(self.conv2(out)) + self.shortcut(x)).relu()


class PreactivationBlock(nn.Module):
    """The same with norm and ReLU before each convolution.

    A shortcut that changes the shape starts after the first of them.
    """

    def __init__(self, in_channels: int, channels: int, stride: int, first: nn.Module) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = first
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        activated = self.norm1(x).relu()
        kept = x
        if self.shortcut is not None:
            kept = self.shortcut(activated)
        branch: torch.Tensor = self.conv2(self.norm2(self.conv1(activated)).relu())
        return branch + kept


class WideResNet(nn.Module):
    """Three stages of (depth - 4) / 6 blocks, 16, 32 and 64 times ``WIDEN`` channels.

    Images to logits.
    """

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        img_size: Size,
        *,
        preactivation: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_chans = num_classes, in_chans
        self.stem = nn.Conv2d(in_chans, STEM_CHANNELS, 3, padding=1, bias=False)
        # With preactivation a block normalises what it gets, and the last output needs a norm of
        # its own; without, the stem needs one and the last block has it.
        block_type: type[Block | PreactivationBlock] = Block
        if preactivation:
            block_type = PreactivationBlock
        self.stem_norm: nn.Module = nn.Identity()
        if not preactivation:
            self.stem_norm = nn.Sequential(nn.BatchNorm2d(STEM_CHANNELS), nn.ReLU())

        blocks: list[nn.Module] = []
        channels = STEM_CHANNELS
        height, width = img_size
        for stage in range(3):
            wide = STEM_CHANNELS * WIDEN * 2**stage
            # The first stage keeps the size of the map, and is never augmented.
            stride = 1 if stage == 0 else 2
            augmented = None if stage == 0 else augmentation
            for _ in range((DEPTH - 4) // 6):
                # with "same" padding the last step of a stride may be a part of one
                height, width = math.ceil(height / stride), math.ceil(width / stride)
                size = (height, width)
                first = first_convolution(channels, wide, stride, augmented, size)
                blocks.append(block_type(channels, wide, stride, first))
                channels = wide
                stride = 1  # only the first block of a stage has a stride
        self.blocks = nn.Sequential(*blocks)
        self.norm: nn.Module = nn.Identity()
        if preactivation:
            self.norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
        self.global_pool = SelectAdaptivePool2d(pool_type="avg", flatten=True)
        self.fc = nn.Linear(channels, num_classes)
        self.default_cfg = {
            "input_size": (in_chans, *img_size),
            "crop_pct": 1.0,
            "classifier": "fc",
            **CIFAR_NORMALISATION,
        }

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.norm(self.blocks(self.stem_norm(self.stem(x))))
        logits: torch.Tensor = self.fc(self.global_pool(features))
        return logits


def first_convolution(
    in_channels: int, channels: int, stride: int, augmentation: Augmentation | None, size: Size
) -> nn.Module:
    """The first 3x3 convolution of a block, augmented where an augmentation is given.

    ``size`` is that of its output map.
    """
    if augmentation is None:
        return nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
    return AAConv2d(in_channels, channels, 3, augmentation, size, stride)


def wrn_28_10(
    num_classes: int = 100,
    in_chans: int = 3,
    img_size: Size = (32, 32),
    *,
    preactivation: bool = False,
    augmented: bool = False,
) -> nn.Module:
    """WideResNet-28-10; augmented with 8 heads, 0.2 of the channels for keys and 0.1 for values."""
    augmentation = None
    if augmented:
        augmentation = Augmentation(value_share=0.1)
    return WideResNet(
        num_classes, in_chans, img_size, preactivation=preactivation, augmentation=augmentation
    )
