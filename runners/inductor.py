"""``torch.compile`` with TorchInductor.

TorchInductor keeps compiled kernels on disk, so the first launch on a machine compiles far longer
than the others; each says whether it found them there.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions, SessionFacts
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.host import (
    describe_host,
    gpu_of,
    missing_cxx_compiler,
    missing_python_headers,
)

from .pytorch import eager_precisions, load_module
from .torch_device import open_device
from .torch_session import TorchRunner, TorchSession, effective_precision, prepare_threads

FIRST_TRITON_CAPABILITY = (7, 0)


class InductorRunner(TorchRunner):
    name: ClassVar[str] = "inductor"
    formats: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm")
    cell_options: ClassVar[frozenset[str]] = TorchRunner.cell_options | {"memory_format"}

    def check(self) -> str | None:
        return missing_cxx_compiler() or missing_python_headers()

    def check_device(self, device: str) -> str | None:
        unfit = super().check_device(device)
        if unfit is not None or kind_of(device) == CPU:
            return unfit
        if importlib.util.find_spec("triton") is None:
            return "TorchInductor writes GPU code in Triton, which is missing: pip install triton"
        gpu = gpu_of(device, describe_host())
        if gpu is not None and gpu.capability < FIRST_TRITON_CAPABILITY:
            return (
                f"Triton compiles for compute capability 7.0 and later, {gpu.name} has "
                f"{gpu.compute_capability}"
            )
        return None

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        import torch

        prepare_threads(options)
        place = open_device(options)
        module = place.move(load_module(artifact, options))
        compiled = torch.compile(module, fullgraph=False, dynamic=False)  # on its first call
        return InductorSession(
            artifact, compiled, place, options, "torch.compile", effective_precision(module, "fp32")
        )


class InductorSession(TorchSession):
    """Compiles by a call on zeros; streams after the first find the compiled code."""

    _from_cache: bool | None = None

    def _compile(self) -> None:
        import torch
        from torch._dynamo.utils import counters

        with (
            torch.inference_mode()
        ):  # a tensor made outside inference mode would compile another variant
            self._module(self._place.send(np.zeros(self.input_shapes[self._input], np.float32)))
        self._from_cache = found_in_cache(counters["inductor"])
        breaks = sum(counters["graph_break"].values())
        if breaks:
            self._notes = (f"{breaks} graph breaks",)

    def facts(self) -> SessionFacts:
        return replace(super().facts(), from_cache=self._from_cache)


def found_in_cache(counters: Mapping[str, int]) -> bool | None:
    """Whether Inductor found every graph in its cache, by its own counters; None where it keeps
    none of this (before PyTorch 2.4, or switched off)."""
    found = counters.get("fxgraph_cache_hit", 0)
    compiled = counters.get("fxgraph_cache_miss", 0) + counters.get("fxgraph_cache_bypass", 0)
    if found + compiled == 0:
        return None
    return compiled == 0
