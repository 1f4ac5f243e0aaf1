"""TensorRT: engines that were built for this GPU by this version."""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifacts.artifact import Manifest

from .cuda_runtime import CudaDevice
from .tensorrt_engine import EngineRunner


class TensorRTRunner(EngineRunner):
    name: ClassVar[str] = "tensorrt"
    formats: ClassVar[frozenset[str]] = frozenset({"tensorrt"})
    requires: ClassVar[tuple[str, ...]] = ("tensorrt",)
    install: ClassVar[str] = "tensorrt"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt",)
    title: ClassVar[str] = "TensorRT"

    def rebuild(self, manifest: Manifest, device: CudaDevice) -> str:
        return manifest.command
