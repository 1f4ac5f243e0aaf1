"""TensorRT 8.5 to 11: an engine built on the GPU that it is for.

Its kernels are chosen by timing them there.

The timings are kept between builds, so that the same layers get the same kernels again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from filelock import FileLock

from deploybench.contracts import ExportedFiles, Exporter, ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, slug, write_whole
from deploybench.hardware.gpus import Gpu, find_gpus, sm_of, target_of

from .quantisation import identity_of_way
from .tensorrt_build import (
    DISTRIBUTIONS,
    PRECISIONS,
    REQUIRES,
    BuildTarget,
    first_gpu,
    write_engine,
)

if TYPE_CHECKING:
    import torch

FIRST_PAST_OPSET_17 = 9
"""TensorRT 8.5 and 8.6 read ONNX opset 17 and IR version 8 at most."""
OLD_OPSET, OLD_IR_VERSION = 17, 8


class TensorRtExporter(Exporter):
    name: ClassVar[str] = "tensorrt"
    precisions: ClassVar[frozenset[str]] = PRECISIONS
    takes_target: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = (*REQUIRES, "tensorrt")
    install: ClassVar[str] = "tensorrt"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    distributions: ClassVar[tuple[str, ...]] = (
        *DISTRIBUTIONS,
        "tensorrt",
        "tensorrt-cu12",
        "tensorrt-cu13",
    )

    def check(self) -> str | None:
        gpus, note = find_gpus()
        if gpus:
            return None
        return f"builds on the GPU that an engine is for, and this host has no CUDA device: {note}"

    def identity(self) -> Mapping[str, str]:
        gpu = first_gpu()
        if gpu is None:
            return {}
        return {"gpu": f"{gpu.name} {gpu.compute_capability} {gpu.driver}"}

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        return identity_of_way(spec)

    def check_target(self, target: str | None) -> None:
        _gpu_for(target)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        gpu = _gpu_for(spec.target)  # before any object of the library: some crash without a device
        import tensorrt as trt

        if int(trt.__version__.partition(".")[0]) < FIRST_PAST_OPSET_17:
            spec = spec.with_options(opset=OLD_OPSET, ir_version=OLD_IR_VERSION)
        timings = TimingCache(trt, gpu)
        device = BuildTarget(sm_of(target_of(gpu.compute_capability)), gpu.name)
        with timings.alone():
            files = write_engine(trt, model, example, spec, out, device, timings.lend)
            timings.keep()
        return files


class TimingCache:
    """How long each kernel took on one kind of GPU with one driver and one TensorRT.

    A file in the user's cache folder keeps it.
    """

    def __init__(self, trt: Any, gpu: Gpu) -> None:
        identity = f"{trt.__version__}-{gpu.name}-{target_of(gpu.compute_capability)}-{gpu.driver}"
        self.path = cache_folder() / f"tensorrt-{slug(identity)}.timings"
        self._config: Any = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other build of ours meanwhile.

        Kernels are chosen by their times, which two builds on one GPU disturb.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            yield

    def lend(self, config: Any) -> None:
        """Let a build use the timings of earlier ones.

        What does not read as timings of this library is left out.
        """
        if not hasattr(config, "create_timing_cache"):
            return
        earlier = b""
        if self.path.is_file():
            earlier = self.path.read_bytes()
        timings = config.create_timing_cache(earlier) or config.create_timing_cache(b"")
        if config.set_timing_cache(timings, ignore_mismatch=False):
            self._config = config

    def keep(self) -> None:
        """Write the timings as they are after the build."""
        if self._config is None:
            return
        timings = self._config.get_timing_cache()
        if timings is not None:
            write_whole(self.path, bytes(timings.serialize()))


def _gpu_for(target: str | None) -> Gpu:
    """The GPU at hand.

    Raises DeployBenchError where there is none, or it is another one than the target.
    """
    gpu = first_gpu()
    present = "no CUDA device"
    if gpu is not None:
        if target in (None, target_of(gpu.compute_capability)):
            return gpu
        present = gpu.name
    expected = "a GPU"
    if target:
        expected = f"a GPU of {target}"
    raise DeployBenchError(
        f"TensorRT builds on the GPU that an engine is for; this host has {present}",
        expected=expected,
        action="export there; --backend tensorrt-rtx builds ahead of time from sm75 on",
    )
