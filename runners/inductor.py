"""``torch.compile`` with TorchInductor: compiled on first use; the compilation is part of the load time."""

from __future__ import annotations

import shutil
from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Runner, RunOptions, Session

from .pytorch import eager_precisions, load_module
from .torch_cpu import TorchCpuSession, effective_precision, prepare_threads


class InductorRunner(Runner):
    name: ClassVar[str] = "inductor"
    formats: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm")

    def check(self) -> str | None:
        if shutil.which("g++") or shutil.which("clang++"):
            return None
        return "needs a C++ compiler (g++ or clang++): apt-get install g++"

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        import torch

        prepare_threads(options)
        module = load_module(artifact, options)
        compiled = torch.compile(module, fullgraph=False, dynamic=False)
        shape = artifact.batch_shape(options.batch)[artifact.manifest.inputs[0].name]
        with torch.inference_mode():
            compiled(torch.zeros(shape))  # a tensor made outside inference mode would compile another variant
        return TorchCpuSession(artifact, compiled, options, "torch.compile", effective_precision(module, "fp32"))
