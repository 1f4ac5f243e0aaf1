"""The program of ``torch.export``, run operator by operator without the model's own code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import RunOptions

from .torch_cpu import TorchCpuRunner, TorchCpuSession, effective_precision, prepare_threads


class TorchExportRunner(TorchCpuRunner):
    name: ClassVar[str] = "torch-export"
    formats: ClassVar[frozenset[str]] = frozenset({"torch-export"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.2"}

    def load(self, artifact: Artifact, options: RunOptions) -> TorchCpuSession:
        import torch

        prepare_threads(options)
        module = torch.export.load(artifact.entry).module()
        precision = effective_precision(module, artifact.manifest.precision)
        return TorchCpuSession(artifact, module, options, "ExportedProgram", precision)
