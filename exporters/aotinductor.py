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

from .quantisation import INT8, RANGE_OPTION, identity_of_range
from .torch_export import export_program
from .torch_quantised import FREEZING, KERNELS, check_kernels, kernels_in, quantised_program

if TYPE_CHECKING:
    import torch


class AotInductorExporter(Exporter):
    name: ClassVar[str] = "aotinductor"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "bf16", "fp16", "int8"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm")
    install: ClassVar[str] = "deploybench[torch]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    calibrates: ClassVar[bool] = True
    options: ClassVar[tuple[ExportOption, ...]] = (RANGE_OPTION, REPARAMETERISE)
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.6"}

    def check(self) -> str | None:
        return missing_cxx_compiler()

    def identity(self) -> Mapping[str, str]:
        return {"isa": " ".join(describe_host().isa)}

    def distributions_for(self, precision: str) -> tuple[str, ...]:
        if precision == INT8:
            return (*self.distributions, "torchao")
        return self.distributions

    def identity_for(self, spec: ExportSpec) -> Mapping[str, str]:
        return identity_of_range(spec)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import torch
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        options: dict[str, bool] = {
            "cpp.dynamic_threads": True
        }  # else the thread budget of this process is compiled in
        facts: dict[str, str | int] = {}
        kept: tuple[str, ...] = ()
        if spec.precision == INT8:
            program, facts, kept = quantised_program(model, example, spec, out)
            options |= FREEZING
        else:
            program = export_program(model, example, spec)
        package = out / "model.pt2"
        torch._inductor.aoti_compile_and_package(
            program, package_path=str(package), inductor_configs=options
        )
        if spec.precision == INT8:
            facts[KERNELS] = check_kernels(kernels_in(package))
        facts["vector_isa"] = str(pick_vec_isa())
        return ExportedFiles("model.pt2", facts, kept_fp32=kept)
