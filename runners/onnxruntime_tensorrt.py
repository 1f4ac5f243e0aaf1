"""ONNX Runtime with its TensorRT provider.

Parts of the graph become TensorRT engines, the rest runs on CUDA.

Engines are built when a session loads, which takes minutes, and kept in the user's cache folder, so
that the first launch of a cell loads far longer than the others; each says whether it found its
engines there. The provider is built against one
major version of TensorRT (10 for onnxruntime-gpu 1.31), which has to be installed beside it. fp16
is a flag of the provider; tf32 has none and is switched off for fp32 by NVIDIA's own variable.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
from pathlib import Path
from typing import ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.files import cache_folder, slug
from deploybench.hardware.devices import CUDA, gpu_index
from deploybench.hardware.host import describe_host, gpu_of
from deploybench.versions import installed_versions

from .onnxruntime import (
    CUDA_PROVIDER,
    OnnxRuntimeRunner,
    OnnxRuntimeSession,
    Providers,
    cuda_options,
    forbid_tf32_unless,
)

PROVIDER = "TensorrtExecutionProvider"
LIBRARIES = ("libnvinfer.so.10", "libnvinfer.so.8")
"""Of the versions that ONNX Runtime 1.14 to 1.31 was built for."""
TENSORRT_DISTRIBUTIONS = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13")


class OnnxRuntimeTensorrtRunner(OnnxRuntimeRunner):
    name: ClassVar[str] = "onnxruntime-tensorrt"
    install: ClassVar[str] = "onnxruntime-gpu"
    devices: ClassVar[frozenset[str]] = frozenset({CUDA})
    gpu_provider: ClassVar[str] = PROVIDER
    runs_code: ClassVar[bool] = True
    """A graph for this provider may hold a finished engine (a node EPContext), or name the file of
    one: that is native code."""

    def check_device(self, device: str) -> str | None:
        return super().check_device(device) or missing_library()

    def gpu_precisions_of(self, artifact_precision: str) -> frozenset[str]:
        offered = super().gpu_precisions_of(artifact_precision)
        if artifact_precision == "fp32":
            return offered | {"fp16"}
        return offered

    def load(self, artifact: Artifact, options: RunOptions) -> OnnxRuntimeSession:
        folder = engine_folder(artifact, options)
        found = engines_in(folder)
        session = super().load(artifact, options)
        session.from_cache = bool(found) and engines_in(folder) == found
        return session

    def gpu_providers(self, artifact: Artifact, options: RunOptions) -> Providers:
        forbid_tf32_unless(options.precision == "tf32")
        folder = engine_folder(artifact, options)
        folder.mkdir(parents=True, exist_ok=True)
        tensorrt = {
            "device_id": str(gpu_index(options.device)),
            # The options are read as Python writes them: "True" or "False".
            "trt_fp16_enable": str(options.precision == "fp16"),  # without it fp16 is refused
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(folder),
        }
        return ((PROVIDER, tensorrt), (CUDA_PROVIDER, cuda_options(options)))


def engine_folder(artifact: Artifact, options: RunOptions) -> Path:
    """Where the engines of such a cell are kept.

    There is one folder for each GPU, version, artifact, batch and precision.
    """
    machine: list[str] = []
    gpu = gpu_of(options.device, describe_host())
    if gpu is not None:
        machine += [gpu.name, gpu.driver]
    for name, version in installed_versions(("onnxruntime-gpu", *TENSORRT_DISTRIBUTIONS)).items():
        machine.append(f"{name}-{version}")
    machine_folder = slug("-".join(machine) or "unknown")
    cell_folder = f"{artifact.manifest.key[:16]}-b{options.batch}-{options.precision}"
    return cache_folder() / "onnxruntime-tensorrt" / machine_folder / cell_folder


def engines_in(folder: Path) -> dict[str, int]:
    """The engines that are kept there, with the moment each was written at (ns)."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.glob("*.engine"))}


def missing_library() -> str | None:
    """Why TensorRT itself cannot be loaded for the provider, or None.

    Any of the versions will do here: which one the provider was built for, it says itself.
    """
    for name in LIBRARIES:
        paths = [name]  # the loader's own places first
        for folder in _wheel_folders():
            paths += [str(path) for path in folder.glob(name)]
        for path in paths:
            with contextlib.suppress(OSError):
                ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
                return None
    return (
        f"TensorRT's library is not found ({' or '.join(LIBRARIES)}): pip install the TensorRT "
        f"of that version"
    )


def _wheel_folders() -> list[Path]:
    """Where NVIDIA's wheels put TensorRT: nothing looks there by itself."""
    folders: list[Path] = []
    for name in ("tensorrt_libs", "tensorrt"):
        spec = importlib.util.find_spec(name)
        if spec is not None:
            folders += [Path(folder) for folder in spec.submodule_search_locations or ()]
    return folders
