"""TensorRT: engines that were built for this GPU by this version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from deploybench.artifacts.artifact import Manifest
from deploybench.contracts import ForeignFile

from .cuda_runtime import CudaDevice
from .tensorrt_engine import EngineRunner


class TensorRTRunner(EngineRunner):
    name: ClassVar[str] = "tensorrt"
    formats: ClassVar[frozenset[str]] = frozenset({"tensorrt"})
    requires: ClassVar[tuple[str, ...]] = ("tensorrt",)
    install: ClassVar[str] = "tensorrt"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt",)
    title: ClassVar[str] = "TensorRT"
    adopts: ClassVar[Mapping[str, str]] = dict.fromkeys((".engine", ".plan", ".trt"), "tensorrt")

    def look_into(self, file: Path) -> ForeignFile:
        from .tensorrt_files import look_into

        return look_into(file, self.requires[0], self.title)

    def rebuild(self, manifest: Manifest, device: CudaDevice) -> str:
        return manifest.command
