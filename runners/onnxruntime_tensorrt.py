"""ONNX Runtime with its TensorRT provider: parts of the graph become TensorRT engines, the rest runs on CUDA.

Engines are built when a session loads, which takes minutes, and kept in the user's cache folder, so that the first
launch of a cell loads far longer than the others. The provider is built against one major version of TensorRT (10
for onnxruntime-gpu 1.31), which has to be installed beside it. fp16 is a flag of the provider; tf32 has none and is
switched off for fp32 by NVIDIA's own variable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.devices import CUDA, index_of

from .onnxruntime import CUDA_PROVIDER, OnnxRuntimeRunner, Providers, cuda_options, forbid_tf32_unless

PROVIDER = "TensorrtExecutionProvider"


class OnnxRuntimeTensorrtRunner(OnnxRuntimeRunner):
    name: ClassVar[str] = "onnxruntime-tensorrt"
    install: ClassVar[str] = "onnxruntime-gpu"
    devices: ClassVar[frozenset[str]] = frozenset({CUDA})
    gpu_provider: ClassVar[str] = PROVIDER

    def gpu_precisions_of(self, artifact_precision: str) -> frozenset[str]:
        offered = super().gpu_precisions_of(artifact_precision)
        return offered | {"fp16"} if artifact_precision == "fp32" else offered

    def gpu_providers(self, artifact: Artifact, options: RunOptions) -> Providers:
        forbid_tf32_unless(options.precision == "tf32")
        folder = engine_folder(artifact, options)
        folder.mkdir(parents=True, exist_ok=True)
        tensorrt = {
            "device_id": str(index_of(options.device)),
            "trt_fp16_enable": str(int(options.precision == "fp16" and artifact.manifest.precision == "fp32")),
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }
        return ((PROVIDER, tensorrt), (CUDA_PROVIDER, cuda_options(options)))


def engine_folder(artifact: Artifact, options: RunOptions) -> Path:
    """Where the engines of such a cell are kept: one folder for each artifact, batch and precision."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deploybench" / "onnxruntime-tensorrt"
    return cache / f"{artifact.manifest.key[:16]}-b{options.batch}-{options.precision}"
