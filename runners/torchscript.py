"""TorchScript, without the model's own code."""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import RunOptions

from .torch_cpu import TorchCpuRunner, TorchCpuSession, prepare_threads


class TorchScriptRunner(TorchCpuRunner):
    name: ClassVar[str] = "torchscript"
    formats: ClassVar[frozenset[str]] = frozenset({"torchscript"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchCpuSession:
        import torch

        prepare_threads(options)
        module = torch.jit.load(str(artifact.entry), map_location="cpu")
        return TorchCpuSession(artifact, module, options, "TorchScript", artifact.manifest.precision)
