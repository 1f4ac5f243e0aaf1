"""``torch.compile`` with TorchInductor, compiled when it is loaded: the compilation is part of the load time.

TorchInductor keeps compiled kernels on disk, so the first launch on a machine loads far longer than the others.
"""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Runner, RunOptions, Session
from deploybench.host import missing_cxx_compiler

from .pytorch import eager_precisions, load_module
from .torch_cpu import TorchCpuSession, effective_precision, prepare_threads


class InductorRunner(Runner):
    name: ClassVar[str] = "inductor"
    formats: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm")

    def check(self) -> str | None:
        return missing_cxx_compiler()

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        import torch
        import torch._dynamo.utils

        prepare_threads(options)
        module = load_module(artifact, options)
        compiled = torch.compile(module, fullgraph=False, dynamic=False)
        shape = artifact.batch_shape(options.batch)[artifact.manifest.inputs[0].name]
        with torch.inference_mode():
            compiled(torch.zeros(shape))  # a tensor made outside inference mode would compile another variant
        breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
        notes = (f"{breaks} graph breaks",) if breaks else ()
        precision = effective_precision(module, "fp32")
        return TorchCpuSession(artifact, compiled, options, "torch.compile", precision, notes)
