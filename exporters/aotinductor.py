"""AOTInductor: the program of ``torch.export`` compiled ahead of time to native code for this
host's CPU.

The package runs only on machines with the instruction set that it was compiled for.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts import (
    REPARAMETERISE,
    ExportedFiles,
    Exporter,
    ExportOption,
    ExportSpec,
)
from deploybench.hardware.host import describe_host, missing_cxx_compiler

from .torch_export import export_program

if TYPE_CHECKING:
    import torch


class AotInductorExporter(Exporter):
    name: ClassVar[str] = "aotinductor"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "bf16", "fp16"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm")
    install: ClassVar[str] = "deploybench[torch]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    options: ClassVar[tuple[ExportOption, ...]] = (REPARAMETERISE,)
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.6"}

    def check(self) -> str | None:
        return missing_cxx_compiler()

    def identity(self) -> Mapping[str, str]:
        return {"isa": " ".join(describe_host().isa)}

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import torch
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        program = export_program(model, example, spec)
        options = {
            "cpp.dynamic_threads": True
        }  # else the thread budget of this process is compiled in
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(out / "model.pt2"), inductor_configs=options
        )
        return ExportedFiles("model.pt2", {"vector_isa": str(pick_vec_isa())})
