"""The short names: the architectures that the project compares, each at its native resolution.

The **fair family** is one Vision Transformer (width 384, depth 14, 6 heads, patches of 16, about 25
M parameters) in which only the attention differs; ``vit`` is its softmax member, ``vit-small`` is
ViT-S/16 as published (depth 12). ``swin`` has depths (2, 2, 5, 2) to be as large. The CIFAR
networks and ``densenet121`` are built like the seeds'. ``efficientnet-b0`` has the batch norms'
epsilon of timm's own weights, 1e-5; ``efficientnet-b0-eps1e-3`` that of the paper's code, of timm's
``tf_`` models and of the seeds. ``-wide`` and ``-deep`` are tiny shapes at 25 M parameters: by a
wider MLP or by more layers.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError, unknown_name
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource
from deploybench.models.timm_source import (
    build_refusal,
    build_timm,
    head_of,
    preprocessing_of,
    timm_identity,
)

NETS = "deploybench.models.nets"
COUNTS = Path(__file__).with_name("zoo_counts.json")
"""Parameters and MACs of every entry.

Written by ``python -m benchmarks.zoo_counts``; a test holds them.
"""
BAND_PARAMETERS, BAND_WIDTH = 25_000_000, 0.05
"""The size that the seeds compare at, with the 10 classes of their task."""
BAND_CLASSES = 10
COMPARED_SIZE = 224
FAIR_FAMILY = "fair ViT"
FAIR_PATCH = 16
DEFAULT_LINFORMER_RANK = 64
EFFICIENTNET_SIZES = (224, 240, 260, 300, 380, 456, 528, 600)
"""Of B0 to B7, in pixels: Tan & Le 2019."""

Argument = int | float | str | bool | tuple[int, ...] | None


@dataclass(frozen=True)
class ZooEntry:
    """An architecture, timm's or ``module:function`` of ours, with its arguments and resolution.

    ``image_size`` is the length of a square's side in pixels. ``attention`` takes the place of a
    Vision Transformer's own, ``rank`` is that attention's. ``fixed_size``: the weights belong to
    one image size, and to no other by interpolation.
    """

    architecture: str
    image_size: int
    family: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    attention: str | None = None
    rank: int | None = None
    fixed_size: bool = False
    task: str | None = None
    """What its own classes mean, where images may have several of them or none."""

    @property
    def ours(self) -> bool:
        return ":" in self.architecture


def _fair(attention: str | None = None, rank: int | None = None) -> ZooEntry:
    return ZooEntry(
        architecture="vit_small_patch16_224",
        image_size=224,
        family=FAIR_FAMILY,
        arguments={"depth": 14},
        attention=attention,
        rank=rank,
        fixed_size=attention
        in ("linformer", "linformer-shared"),  # its projections are as long as the tokens
    )


def _own(
    function: str, image_size: int, family: str, task: str | None = None, **arguments: Argument
) -> ZooEntry:
    # Attention augmentation has a table of relative positions, of the size of the feature map.
    augmented = family.startswith("AA ")
    return ZooEntry(
        architecture=f"{NETS}.{function}",
        image_size=image_size,
        family=family,
        arguments=arguments,
        fixed_size=augmented,
        task=task,
    )


ZOO: dict[str, ZooEntry] = {
    "vit": _fair(),
    "linformer": _fair("linformer"),
    "linformer-shared": _fair("linformer-shared", rank=DEFAULT_LINFORMER_RANK),
    "performer": _fair("performer"),
    "fastformer": _fair("fastformer"),
    "xca": _fair("xca"),
    "linformer-256": _fair("linformer", rank=256),
    "performer-266": _fair("performer", rank=266),
    "resnet50": ZooEntry("resnet50", 224, "CNN"),
    "swin": ZooEntry("swin_tiny_patch4_window7_224", 224, "Swin", {"depths": (2, 2, 5, 2)}),
    "xcit": ZooEntry("xcit_small_12_p16_224", 224, "XCiT"),
    "xcit-tiny": ZooEntry("xcit_tiny_12_p16_224", 224, "XCiT"),
    "vit-tiny": ZooEntry("vit_tiny_patch16_224", 224, "ViT"),
    "vit-tiny-wide": ZooEntry("vit_tiny_patch16_224", 224, "ViT", {"mlp_ratio": 26}),
    "vit-tiny-deep": ZooEntry("vit_tiny_patch16_224", 224, "ViT", {"depth": 56}),
    "xcit-tiny-wide": ZooEntry("xcit_tiny_12_p16_224", 224, "XCiT", {"mlp_ratio": 22}),
    "xcit-tiny-deep": ZooEntry("xcit_tiny_12_p16_224", 224, "XCiT", {"depth": 53}),
    "vit-small": ZooEntry("vit_small_patch16_224", 224, "ViT"),
    **{
        f"efficientnet-b{index}": ZooEntry(f"efficientnet_b{index}", size, "EfficientNet")
        for index, size in enumerate(EFFICIENTNET_SIZES)
    },
    **{
        f"efficientnet-b{index}-eps1e-3": ZooEntry(
            f"efficientnet_b{index}", size, "EfficientNet", {"bn_eps": 1e-3}
        )
        for index, size in enumerate(EFFICIENTNET_SIZES)
    },
    "densenet-bc": _own("densenet:densenet_bc_cifar", 32, "DenseNet"),
    "densenet-bc-3x3": _own("densenet:densenet_bc_cifar", 32, "DenseNet", stem="3x3"),
    "aa-densenet-1x1": _own("densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="1x1"),
    "aa-densenet-3x3": _own("densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="3x3"),
    "aa-densenet-3x3-batchnorm": _own(
        "densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="3x3", norm="batch"
    ),
    "aa-densenet-3x3-layernorm": _own(
        "densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="3x3", norm="layer"
    ),
    "aa-densenet-1x1-from2": _own(
        "densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="1x1", first_augmented=2
    ),
    "aa-densenet-3x3-from2": _own(
        "densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="3x3", first_augmented=2
    ),
    "densenet-bc-k24": _own(
        "densenet:densenet_bc_cifar", 32, "DenseNet", growth_rate=24, layers=41
    ),
    "densenet-bc-k40": _own(
        "densenet:densenet_bc_cifar", 32, "DenseNet", growth_rate=40, layers=31
    ),
    "wrn-28-10": _own("wide_resnet:wrn_28_10", 32, "WideResNet"),
    "wrn-28-10-preact": _own("wide_resnet:wrn_28_10", 32, "WideResNet", preactivation=True),
    "aa-wrn-28-10": _own("wide_resnet:wrn_28_10", 32, "AA WideResNet", augmented=True),
    "aa-resnet34": _own("resnet:aa_resnet", 224, "AA ResNet", depth=34),
    "aa-resnet50": _own("resnet:aa_resnet", 224, "AA ResNet", depth=50),
    # CheXpert's five findings, each of which an X-ray may show.
    "densenet121": _own("densenet:densenet121", 320, "DenseNet", "multi_label"),
    "aa-densenet121": _own(
        "densenet:densenet121", 320, "AA DenseNet", "multi_label", transition="3x3"
    ),
}

SOFTMAX = "vit"
"""The member of the fair family that the others are compared with."""
FAIR = tuple(name for name, entry in ZOO.items() if entry.family == FAIR_FAMILY)
AUGMENTED_FAMILIES = ("DenseNet", "AA DenseNet", "WideResNet", "AA WideResNet", "AA ResNet")
"""The augmented networks, and the plain ones that they are compared with."""
GROUPS: dict[str, tuple[str, ...]] = {
    "fair": tuple(name for name in FAIR if ZOO[name].rank is None),
    "efficientnet": tuple(f"efficientnet-b{index}" for index in range(len(EFFICIENTNET_SIZES))),
    "augmented": tuple(name for name, entry in ZOO.items() if entry.family in AUGMENTED_FAMILIES),
    "zoo": tuple(ZOO),
}
"""Names that stand for several models."""


class ZooSource(ModelSource):
    """The short names, built by timm or by our own functions."""

    def names(self) -> list[str]:
        return list(ZOO)

    def groups(self) -> Mapping[str, tuple[str, ...]]:
        return GROUPS

    def identity(self, name: str) -> dict[str, str]:
        self.check(name)
        entry = ZOO[name]
        recipe = (
            entry.architecture,
            dict(entry.arguments),
            entry.attention,
            entry.rank,
            entry.image_size,
        )
        identity = {**timm_identity(), "recipe": repr(recipe)}
        if entry.ours or entry.attention is not None:
            identity["code_sha256"] = _code_of_nets()
        return identity

    def check(self, name: str) -> None:
        if name not in ZOO:
            raise unknown_name("zoo model", name, ZOO)

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        entry = ZOO[name]
        size = options.image_size or (entry.image_size, entry.image_size)
        sized = replace(options, image_size=size)
        if entry.ours:
            return _build_own(name, entry, sized)
        if entry.attention is None:
            return build_timm(entry.architecture, sized, entry.arguments)
        return _build_fair(name, entry, entry.attention, sized)


def zoo_counts() -> dict[str, dict[str, int]]:
    """By name: ``parameters`` with 10 classes, ``macs`` at the native size, ``macs_224`` at 224
    pixels."""
    counts: dict[str, dict[str, int]] = json.loads(COUNTS.read_text())
    return counts


def in_band(parameters: int) -> bool:
    """Whether a model with 10 classes is within 5 % of 25 M parameters."""
    return abs(parameters / BAND_PARAMETERS - 1) <= BAND_WIDTH


def _build_fair(name: str, entry: ZooEntry, attention: str, options: BuildOptions) -> BuiltModel:
    from deploybench.models.nets.attention import attention_layer

    if options.pretrained:
        raise _no_pretrained(name)
    height, width = options.image_size or (entry.image_size, entry.image_size)
    patch = options.patch_size or FAIR_PATCH
    patches = (height // patch) * (width // patch)
    layer = attention_layer(attention, tokens=patches + 1, rank=entry.rank)  # and the class token
    built = build_timm(entry.architecture, options, {**entry.arguments, "attn_layer": layer})
    # the manifest names the attention, not the class that it was built with
    arguments: dict[str, Any] = {**built.arguments, "attn_layer": attention}
    return replace(built, arguments=arguments)


def _build_own(name: str, entry: ZooEntry, options: BuildOptions) -> BuiltModel:
    if options.pretrained:
        raise _no_pretrained(name)
    if options.patch_size is not None:
        raise DeployBenchError(f"'{name}' has no patches", action="leave out --patch-size")
    module_name, _, function = entry.architecture.partition(":")
    # What the user left open, the function has a default for.
    options_of_net = {
        "num_classes": options.num_classes,
        "in_chans": options.in_channels,
        "img_size": options.image_size,
    }
    given = {key: value for key, value in options_of_net.items() if value is not None}
    build = getattr(importlib.import_module(module_name), function)
    try:
        module = build(**given, **entry.arguments)
    except (ValueError, RuntimeError) as error:
        raise build_refusal(name, options, given, error) from error
    return BuiltModel(
        module=module,
        preprocessing=preprocessing_of(module, options.image_size),
        num_classes=module.num_classes,
        head=head_of(module),
        arguments={key: _argument(value) for key, value in given.items()},
        usual_preprocessing=True,
        task=entry.task if options.num_classes is None else None,
    )


def _argument(value: int | tuple[int, int]) -> int | str:
    """An argument as a manifest holds it: a number, or text."""
    if isinstance(value, int):
        return value
    return str(value)


def _no_pretrained(name: str) -> DeployBenchError:
    return DeployBenchError(
        f"there are no pretrained weights for '{name}'",
        action="pass --checkpoint FILE, or leave out --pretrained",
    )


def _code_of_nets() -> str:
    """sha256 over our own modules: what they compute decides what an artifact is."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).with_name("nets").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
