"""The short names: the architectures that the project compares, each at its native resolution.

The **fair family** is one Vision Transformer (width 384, depth 14, 6 heads, patches of 16, about 25
M parameters) in which only the attention differs; ``vit`` is its softmax member, ``vit-small`` is
ViT-S/16 as published (depth 12). ``swin`` has depths (2, 2, 5, 2) to be as large. The CIFAR
networks and ``densenet121`` are built like the seeds'.
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
"""Parameters and MACs of every entry, written by ``python -m benchmarks.zoo_counts`` and held by a
test."""
BAND_PARAMETERS, BAND_WIDTH = 25_000_000, 0.05
"""The size that the seeds compare at, with the 10 classes of their task."""
BAND_CLASSES = 10
COMPARED_SIZE = 224
FAIR_PATCH = 16

Argument = int | float | str | bool | tuple[int, ...] | None


@dataclass(frozen=True)
class ZooEntry:
    """An architecture: timm's, or ``module:function`` of ours; its arguments, and its resolution in
    pixels.

    ``attention`` takes the place of a Vision Transformer's own, ``rank`` is that attention's.
    ``fixed_size``: the weights belong to one image size, and to no other by interpolation.
    """

    architecture: str
    image_size: int
    family: str
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    attention: str | None = None
    rank: int | None = None
    fixed_size: bool = False

    @property
    def ours(self) -> bool:
        return ":" in self.architecture


def _fair(attention: str | None = None, rank: int | None = None) -> ZooEntry:
    family = "fair ViT"
    fixed = attention == "linformer"
    return ZooEntry(
        "vit_small_patch16_224", 224, family, {"depth": 14}, attention, rank, fixed_size=fixed
    )


def _own(function: str, image_size: int, family: str, **arguments: Argument) -> ZooEntry:
    fixed = bool(arguments.get("transition") or arguments.get("augmented"))
    return ZooEntry(f"{NETS}.{function}", image_size, family, arguments, fixed_size=fixed)


ZOO: dict[str, ZooEntry] = {
    "vit": _fair(),
    "linformer": _fair("linformer"),
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
    "vit-small": ZooEntry("vit_small_patch16_224", 224, "ViT"),
    **{
        f"efficientnet-b{index}": ZooEntry(f"efficientnet_b{index}", size, "EfficientNet")
        for index, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
    "densenet-bc": _own("densenet:densenet_bc_cifar", 32, "DenseNet"),
    "densenet-bc-3x3": _own("densenet:densenet_bc_cifar", 32, "DenseNet", stem="3x3"),
    "aa-densenet-1x1": _own("densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="1x1"),
    "aa-densenet-3x3": _own("densenet:densenet_bc_cifar", 32, "AA DenseNet", transition="3x3"),
    "wrn-28-10": _own("wide_resnet:wrn_28_10", 32, "WideResNet"),
    "wrn-28-10-preact": _own("wide_resnet:wrn_28_10", 32, "WideResNet", preactivation=True),
    "aa-wrn-28-10": _own("wide_resnet:wrn_28_10", 32, "AA WideResNet", augmented=True),
    "densenet121": _own("densenet:densenet121", 320, "DenseNet"),
    "aa-densenet121": _own("densenet:densenet121", 320, "AA DenseNet", transition="3x3"),
}

SOFTMAX = "vit"
"""The member of the fair family that the others are compared with."""
FAIR = tuple(name for name, entry in ZOO.items() if entry.family == "fair ViT")
GROUPS: dict[str, tuple[str, ...]] = {
    "fair": tuple(name for name in FAIR if ZOO[name].rank is None),
    "efficientnet": tuple(name for name in ZOO if name.startswith("efficientnet-")),
    "augmented": tuple(
        name for name, entry in ZOO.items() if "DenseNet" in entry.family or "Wide" in entry.family
    ),
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
        code = {"code_sha256": _code_of_nets()} if entry.ours or entry.attention else {}
        recipe = repr(
            (
                entry.architecture,
                dict(entry.arguments),
                entry.attention,
                entry.rank,
                entry.image_size,
            )
        )
        return {**timm_identity(), "recipe": recipe, **code}

    def check(self, name: str) -> None:
        if name not in ZOO:
            raise unknown_name("zoo model", name, ZOO)

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        entry = ZOO[name]
        sized = replace(
            options, image_size=options.image_size or (entry.image_size, entry.image_size)
        )
        if entry.ours:
            return _build_own(name, entry, sized)
        if entry.attention is None:
            return build_timm(entry.architecture, sized, entry.arguments)
        return _build_fair(name, entry, entry.attention, sized)


def zoo_counts() -> dict[str, dict[str, int]]:
    """By name: ``parameters`` with 10 classes, ``macs`` at the native size, ``macs_224`` at 224
    pixels."""
    found: dict[str, dict[str, int]] = json.loads(COUNTS.read_text())
    return found


def in_band(parameters: int) -> bool:
    """Whether a model with 10 classes is within 5 % of 25 M parameters."""
    return abs(parameters / BAND_PARAMETERS - 1) <= BAND_WIDTH


def _build_fair(name: str, entry: ZooEntry, attention: str, options: BuildOptions) -> BuiltModel:
    from deploybench.models.nets.attention import attention_layer

    if options.pretrained:
        raise _no_pretrained(name)
    height, width = options.image_size or (entry.image_size, entry.image_size)
    patch = options.patch_size or FAIR_PATCH
    layer = attention_layer(
        attention, tokens=(height // patch) * (width // patch) + 1, rank=entry.rank
    )
    built = build_timm(entry.architecture, options, {**entry.arguments, "attn_layer": layer})
    named: dict[str, Any] = {**built.arguments, "attn_layer": attention}
    return replace(built, arguments=named)


def _build_own(name: str, entry: ZooEntry, options: BuildOptions) -> BuiltModel:
    if options.pretrained:
        raise _no_pretrained(name)
    if options.patch_size is not None:
        raise DeployBenchError(f"'{name}' has no patches", action="leave out --patch-size")
    module_name, _, function = entry.architecture.partition(":")
    asked = {
        "num_classes": options.num_classes,
        "in_chans": options.in_channels,
        "img_size": options.image_size,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    try:
        module = getattr(importlib.import_module(module_name), function)(**given, **entry.arguments)
    except (ValueError, RuntimeError) as error:
        raise build_refusal(name, options, given, error) from error
    return BuiltModel(
        module=module,
        preprocessing=preprocessing_of(module, options.image_size),
        num_classes=module.num_classes,
        head=head_of(module),
        arguments={
            key: value if isinstance(value, int) else str(value) for key, value in given.items()
        },
    )


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
