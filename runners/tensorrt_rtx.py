"""TensorRT-RTX: engines that were built ahead of time for a kind of GPU; their kernels are compiled
on it, here."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Manifest

from .cuda_runtime import CudaDevice
from .tensorrt_engine import EngineRunner
from .tensorrt_session import KERNEL_CACHE_OFF


class TensorRTRtxRunner(EngineRunner):
    name: ClassVar[str] = "tensorrt-rtx"
    formats: ClassVar[frozenset[str]] = frozenset({"tensorrt-rtx"})
    requires: ClassVar[tuple[str, ...]] = ("tensorrt_rtx",)
    install: ClassVar[str] = "deploybench[tensorrt]"
    distributions: ClassVar[tuple[str, ...]] = ("tensorrt-rtx",)
    title: ClassVar[str] = "TensorRT-RTX"
    compiles_on_first_run: ClassVar[bool] = True
    environment: ClassVar[Mapping[str, str]] = {KERNEL_CACHE_OFF: "1"}

    def rebuild(self, manifest: Manifest, device: CudaDevice) -> str:
        return f"{manifest.command} --target sm{device.sm}"

    def doubt_of(self, trt: ModuleType, runtime: Any, plan: bytes) -> str:
        validity, diagnostics = runtime.get_engine_validity(plan)
        if validity != trt.EngineValidity.INVALID:
            return ""
        flags = trt.EngineInvalidityDiagnostics.__members__.items()
        causes = ", ".join(name for name, bit in flags if int(diagnostics) & int(bit))
        return f"{self.title} calls the engine INVALID here: {causes or 'it gave no cause'}"

    def new_context(self, trt: ModuleType, engine: Any) -> Any:
        """Its kernels are compiled for the shapes of the first run, while that waits, and not in
        the background."""
        config = engine.create_runtime_config()
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return engine.create_execution_context(config)
