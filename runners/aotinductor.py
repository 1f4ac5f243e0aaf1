"""An AOTInductor package: native code, compiled ahead of time for the CPU that exported it, so it
runs on no GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions, Serving
from deploybench.hardware.devices import CPU

from .torch_device import Cpu
from .torch_session import TorchRunner, TorchSession, prepare_threads


class AotInductorRunner(TorchRunner):
    name: ClassVar[str] = "aotinductor"
    devices: ClassVar[frozenset[str]] = frozenset({CPU})
    formats: ClassVar[frozenset[str]] = frozenset({"aotinductor"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.6"}

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        from torch._inductor.package.package import load_package

        prepare_threads(options)
        # a runner serves one call at a time; the runners of a package share its weights
        package = load_package(str(artifact.entry), num_runners=options.streams)
        session = TorchSession(
            artifact, package, Cpu(), options, "AOTInductor", artifact.manifest.precision
        )
        kernels = artifact.manifest.facts.get("int8_kernels")
        if kernels is not None:  # counted in the code of the package when it was written
            session.note(f"int8 kernels: {kernels}")
        return session

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        from .torch_serving import OPENMP, serving

        return serving(
            artifact,
            options,
            imports=("from torch._inductor.package.package import load_package",),
            opening=("self.module = load_package(MODEL, num_runners=1)",),
            packages=(OPENMP,),
        )
