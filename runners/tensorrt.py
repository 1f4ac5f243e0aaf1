"""TensorRT: engines that were built for this GPU by this version. The lean runtime runs version-compatible ones."""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifact import Manifest

from .cuda_runtime import Device
from .tensorrt_engine import EngineRunner, first_importable


class TensorRTRunner(EngineRunner):
    name: ClassVar[str] = "tensorrt"
    formats: ClassVar[frozenset[str]] = frozenset({"tensorrt"})
    requires: ClassVar[tuple[str, ...]] = (first_importable("tensorrt", "tensorrt_lean"),)
    install: ClassVar[str] = "tensorrt"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt", "tensorrt-lean")
    title: ClassVar[str] = "TensorRT"

    def rebuild(self, manifest: Manifest, device: Device) -> str:
        return manifest.command
