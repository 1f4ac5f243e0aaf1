"""DenseNet-BC (Huang et al. 2017) with timm's blocks, and its attention-augmented forms.

The augmented forms replace the transitions between dense blocks, all or from a later one on:
``1x1``: BatchNorm, ReLU, AAConv 1x1, average pool; ``3x3``: a norm (of instances, of the batch, or
of the layer), ReLU, AAConv 3x3 with stride 2.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Literal

from timm.layers.norm_act import BatchNormAct2d
from timm.models.densenet import DenseNet
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d, Augmentation

CIFAR_NORMALISATION = {
    "mean": (125.3 / 255, 123.0 / 255, 113.9 / 255),
    "std": (63.0 / 255, 62.1 / 255, 66.7 / 255),
}
CHEXPERT_NORMALISATION = {"mean": (0.533,) * 3, "std": (0.0349,) * 3}
Transition = Literal["1x1", "3x3"]
Norm = Literal["instance", "batch", "layer"]
"""Before an AAConv 3x3. ``layer``: over channels and positions, with a weight for each channel."""


def densenet_bc_cifar(
    num_classes: int = 100,
    in_chans: int = 3,
    img_size: tuple[int, int] = (32, 32),
    *,
    stem: Literal["5x5", "3x3"] = "5x5",
    transition: Transition | None = None,
    value_share: float = 0.7,
    norm: Norm = "instance",
    first_augmented: int = 1,
    growth_rate: int = 12,
    layers: int = 16,
) -> nn.Module:
    """DenseNet-BC for small images, k = 12 and L = 100; L is 250 with 41 ``layers`` a block.

    ``stem`` 5x5 with a norm is the seeds', 3x3 the paper's. ``norm`` is that before an AAConv 3x3;
    the transitions before the ``first_augmented`` (from 1) stay plain.
    """
    net = DenseNet(
        growth_rate=growth_rate,
        block_config=(layers,) * 3,
        num_classes=num_classes,
        in_chans=in_chans,
    )
    # timm's stem is ImageNet's: 7 x 7 with stride 2 and a pool, too coarse for 32 pixels.
    kernel = int(stem[0])
    net.features.conv0 = nn.Conv2d(
        in_chans, 2 * growth_rate, kernel, padding=kernel // 2, bias=False
    )
    if stem == "3x3":
        net.features.norm0 = nn.Identity()
    net.features.pool0 = nn.Identity()
    if transition is not None:
        augmentation = Augmentation(value_share=value_share)
        _augment(net, transition, augmentation, img_size, norm, first_augmented)
    return _described(net, in_chans, img_size, CIFAR_NORMALISATION)


def densenet121(
    num_classes: int = 5,
    in_chans: int = 3,
    img_size: tuple[int, int] = (320, 320),
    *,
    transition: Transition | None = None,
    value_share: float = 0.1,
) -> nn.Module:
    """DenseNet-121, as the seeds trained it on CheXpert.

    Five findings, 320 pixels, the radiographs' normalisation.
    """
    net = DenseNet(
        growth_rate=32, block_config=(6, 12, 24, 16), num_classes=num_classes, in_chans=in_chans
    )
    if transition is not None:
        # the stem halves the map twice: by its convolution and by its pool
        first_map = _halved_map(_halved_map(img_size))
        _augment(net, transition, Augmentation(value_share=value_share), first_map)
    return _described(net, in_chans, img_size, CHEXPERT_NORMALISATION)


def _augment(
    net: DenseNet,
    transition: Transition,
    augmentation: Augmentation,
    size: tuple[int, int],
    norm: Norm = "instance",
    first_augmented: int = 1,
) -> None:
    """Replace the transitions; ``size`` is the map's height and width in the first dense block."""
    for name, plain in list(net.features.named_children()):
        if not name.startswith("transition"):
            continue
        if int(name.removeprefix("transition")) < first_augmented:
            size = (size[0] // 2, size[1] // 2)  # its pool drops an odd row
            continue
        if transition == "3x3":
            after = _halved_map(size)  # by the convolution's own stride
            map_of_conv = after
        else:
            after = (size[0] // 2, size[1] // 2)  # by the pool, which drops an odd row
            map_of_conv = size
        assert isinstance(plain.conv, nn.Conv2d)
        augmented = _transition(plain.conv, transition, augmentation, map_of_conv, norm)
        setattr(net.features, name, augmented)
        size = after


def _transition(
    plain: nn.Conv2d,
    transition: Transition,
    augmentation: Augmentation,
    size: tuple[int, int],
    norm: Norm,
) -> nn.Sequential:
    channels, out = plain.in_channels, plain.out_channels
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if transition == "3x3":
        norms: dict[Norm, nn.Module] = {
            "instance": nn.InstanceNorm2d(channels),
            "batch": nn.BatchNorm2d(channels),
            "layer": nn.GroupNorm(1, channels),
        }
        layers["norm"] = norms[norm]
        layers["act"] = nn.ReLU()
        layers["conv"] = AAConv2d(channels, out, 3, augmentation, size, stride=2)
    else:
        layers["norm"] = BatchNormAct2d(channels)
        layers["conv"] = AAConv2d(channels, out, 1, augmentation, size)
        layers["pool"] = nn.AvgPool2d(2)
    return nn.Sequential(layers)


def _halved_map(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width after a convolution or pool with stride 2 and "same" padding."""
    height, width = size
    return (height + 1) // 2, (width + 1) // 2


def _described(
    net: nn.Module, in_chans: int, size: tuple[int, int], normalisation: dict[str, Any]
) -> nn.Module:
    """The net with the description of its input under timm's keys."""
    config = {
        "input_size": (in_chans, *size),
        "crop_pct": 1.0,
        "classifier": "classifier",
        **normalisation,
    }
    net.default_cfg = config  # type: ignore[assignment]
    return net
