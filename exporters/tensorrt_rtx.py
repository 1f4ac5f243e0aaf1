"""TensorRT-RTX: a plan built ahead of time, on any machine, for one compute capability from 7.5 on.

The plan is portable within that capability; what belongs to the GPU itself is compiled when it is
loaded there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deploybench.contracts import ExportedFiles, Exporter, ExportOption, ExportSpec
from deploybench.errors import DeployBenchError
from deploybench.hardware.gpus import sm_of, target_of

from .quantisation import identity_of_way
from .tensorrt_build import (
    DISTRIBUTIONS,
    ENTRY,
    PRECISIONS,
    REQUIRES,
    BuildTarget,
    first_gpu,
    write_engine,
)
from .tensorrt_plan import rtx_plan_version

if TYPE_CHECKING:
    import torch

TARGETS = (75, 80, 86, 89, 120, 121)
"""The members of ``ComputeCapability`` in TensorRT-RTX 1.7; an older one says itself what it lacks.
"""


FOR_GRAPHS = "cuda_graph"


class TensorRtRtxExporter(Exporter):
    name: ClassVar[str] = "tensorrt-rtx"
    precisions: ClassVar[frozenset[str]] = PRECISIONS
    by_default: ClassVar[bool] = False
    takes_target: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True
    requires: ClassVar[tuple[str, ...]] = (*REQUIRES, "tensorrt_rtx")
    install: ClassVar[str] = "deploybench[torch,onnx,tensorrt]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    distributions: ClassVar[tuple[str, ...]] = (*DISTRIBUTIONS, "tensorrt-rtx")
    options: ClassVar[tuple[ExportOption, ...]] = (
        ExportOption(
            FOR_GRAPHS,
            bool,
            "an engine that allocates nothing while it runs, so that a CUDA graph can hold it",
        ),
    )

    def identity(self) -> Mapping[str, str]:
        gpu = first_gpu()
        if gpu is None:
            return {}
        return {"gpu": f"{gpu.name} {gpu.compute_capability}"}

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        return identity_of_way(spec)

    def check_target(self, target: str | None) -> None:
        _device(target)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import tensorrt_rtx as trt

        device = _device(spec.target)
        capability = getattr(trt.ComputeCapability, f"SM{device.sm}", None)
        if capability is None:
            raise DeployBenchError(
                f"TensorRT-RTX {trt.__version__} does not build for sm{device.sm}"
            )

        def set_target(config: Any) -> None:
            config.num_compute_capabilities = 1
            if not config.set_compute_capability(capability, 0):
                raise DeployBenchError(
                    f"TensorRT-RTX {trt.__version__} took no sm{device.sm} for its target",
                    action="another --target, or a newer TensorRT-RTX",
                )
            if spec.option(FOR_GRAPHS):
                config.set_flag(_flag_for_graphs(trt))

        files = write_engine(trt, model, example, spec, out, device, set_target)
        # The plan names a finer version than the module: the one that a runtime compares.
        facts = {**files.facts, "tensorrt": rtx_plan_version(out / ENTRY)}
        return replace(files, facts=facts)


def _flag_for_graphs(trt: Any) -> Any:
    flag = getattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if flag is None:
        raise DeployBenchError(
            f"TensorRT-RTX {trt.__version__} cannot build engines for CUDA graphs",
            action=f"leave out --option {FOR_GRAPHS}=true, or install a newer TensorRT-RTX",
        )
    return flag


def _device(target: str | None) -> BuildTarget:
    """What to build for: the target, else the GPU at hand.

    Raises DeployBenchError unless it builds for that.
    """
    name = ""
    if not target:
        gpu = first_gpu()
        if gpu is not None:
            name = gpu.name
            target = target_of(gpu.compute_capability)
    names = ", ".join(f"sm{number}" for number in TARGETS)
    if not target:
        raise DeployBenchError(
            "a TensorRT-RTX plan is for one kind of GPU, and this host has none to take it from",
            expected=f"one of {names} (sm86 is an RTX 3090)",
            action="--target sm86, or --profile rtx3090",
        )
    if sm_of(target) not in TARGETS:
        raise DeployBenchError(
            f"TensorRT-RTX builds no plans for {target}", expected=f"one of {names}"
        )
    return BuildTarget(sm_of(target), name)
