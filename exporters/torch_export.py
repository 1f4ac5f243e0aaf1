"""``torch-export``: the graph of ``torch.export`` as a ``.pt2`` file."""

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

from .tracing import frozen_reads, refusal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class TorchExportExporter(Exporter):
    name: ClassVar[str] = "torch-export"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "bf16", "fp16"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm")
    install: ClassVar[str] = "deploybench[torch]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    options: ClassVar[tuple[ExportOption, ...]] = (REPARAMETERISE,)
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.2"}

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import torch

        program = export_program(model, example, spec)
        torch.export.save(program, out / "model.pt2")
        return ExportedFiles("model.pt2", {"nodes": len(program.graph.nodes)})

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]]:
        import torch

        program = torch.export.load(entry)
        tensors = {**program.state_dict, **program.constants}
        return {
            name: tensor.detach().float().numpy()
            for name, tensor in tensors.items()
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
        }


def export_program(
    model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec
) -> torch.export.ExportedProgram:
    """The exported program, with a free batch dimension unless the batch is fixed."""
    import torch

    try:
        return torch.export.export(model, (example,), dynamic_shapes=dynamic_shapes(spec))
    except Exception as error:  # torch refuses a branch on the data, in the words of its compiler
        reads = frozen_reads(model, example)
        if reads:
            raise refusal(reads, "torch.export would have to fix") from error
        raise


def dynamic_shapes(spec: ExportSpec) -> tuple[dict[int, torch.export.Dim]] | None:
    """Which dimensions of the one input are free: the first, unless the batch is fixed."""
    import torch

    if spec.batch:
        return None
    return ({0: torch.export.Dim("batch")},)
