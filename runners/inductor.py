"""``torch.compile`` with TorchInductor.

TorchInductor keeps compiled kernels on disk, so the first launch on a machine compiles far longer than the others.
"""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.host import missing_cxx_compiler

from .pytorch import eager_precisions, load_module
from .torch_cpu import TorchCpuRunner, TorchCpuSession, effective_precision, prepare_threads


class InductorRunner(TorchCpuRunner):
    name: ClassVar[str] = "inductor"
    formats: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm")

    def check(self) -> str | None:
        return missing_cxx_compiler()

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchCpuSession:
        import torch

        prepare_threads(options)
        module = load_module(artifact, options)
        compiled = torch.compile(module, fullgraph=False, dynamic=False)  # on its first call
        return InductorSession(artifact, compiled, options, "torch.compile", effective_precision(module, "fp32"))


class InductorSession(TorchCpuSession):
    """Compiles by a call on zeros; streams after the first find the compiled code."""

    def _compile(self) -> None:
        import torch
        from torch._dynamo.utils import counters

        with torch.inference_mode():  # a tensor made outside inference mode would compile another variant
            self._module(torch.zeros(self.input_shapes[self._input]))
        breaks = sum(counters["graph_break"].values())
        self._notes = (f"{breaks} graph breaks",) if breaks else ()
