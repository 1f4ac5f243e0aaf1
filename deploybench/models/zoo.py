"""The short names: the architectures that the project compares, each at its native resolution.

``vit`` is the softmax member of the family of about 25 M parameters (width 384, depth 14, 6 heads);
``vit-small`` is ViT-S/16 as published (depth 12). ``swin`` has depths (2, 2, 5, 2) for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from deploybench.errors import unknown_name
from deploybench.models.source import BuildOptions, BuiltModel, ModelSource
from deploybench.models.timm_source import build_timm, timm_identity


@dataclass(frozen=True)
class ZooEntry:
    """A timm architecture, the arguments that it is built with, and its resolution in pixels."""

    architecture: str
    image_size: int
    family: str
    arguments: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)


ZOO: dict[str, ZooEntry] = {
    "resnet50": ZooEntry("resnet50", 224, "CNN"),
    "vit": ZooEntry("vit_small_patch16_224", 224, "ViT", {"depth": 14}),
    "vit-tiny": ZooEntry("vit_tiny_patch16_224", 224, "ViT"),
    "vit-small": ZooEntry("vit_small_patch16_224", 224, "ViT"),
    "swin": ZooEntry("swin_tiny_patch4_window7_224", 224, "Swin", {"depths": (2, 2, 5, 2)}),
    "xcit": ZooEntry("xcit_small_12_p16_224", 224, "XCiT"),
    **{
        f"efficientnet-b{index}": ZooEntry(f"efficientnet_b{index}", size, "EfficientNet")
        for index, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))
    },
}


class ZooSource(ModelSource):
    """The short names, built by timm."""

    def names(self) -> list[str]:
        return list(ZOO)

    def identity(self, name: str) -> dict[str, str]:
        return {**timm_identity(), "recipe": repr(ZOO[name])}

    def check(self, name: str) -> None:
        if name not in ZOO:
            raise unknown_name("model", name, ZOO)

    def build(self, name: str, options: BuildOptions) -> BuiltModel:
        entry = ZOO[name]
        sized = replace(options, image_size=options.image_size or (entry.image_size, entry.image_size))
        return build_timm(entry.architecture, sized, entry.arguments)
