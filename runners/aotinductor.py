"""An AOTInductor package: native code, compiled ahead of time."""

from __future__ import annotations

from typing import ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Runner, RunOptions, Session

from .torch_cpu import TorchCpuSession, prepare_threads


class AotInductorRunner(Runner):
    name: ClassVar[str] = "aotinductor"
    formats: ClassVar[frozenset[str]] = frozenset({"aotinductor"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        import torch
        import torch._inductor

        prepare_threads(options)
        package = torch._inductor.aoti_load_package(str(artifact.entry))
        return TorchCpuSession(artifact, package, options, "AOTInductor", artifact.manifest.precision)
