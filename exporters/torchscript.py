"""TorchScript: traced on an example, frozen (parameters become constants, batch norm is folded)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deploybench.contracts import (
    REPARAMETERISE,
    ExportedFiles,
    Exporter,
    ExportOption,
    ExportSpec,
)

from .tracing import keeping_branches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class TorchScriptExporter(Exporter):
    name: ClassVar[str] = "torchscript"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "bf16", "fp16"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm")
    install: ClassVar[str] = "deploybench[torch]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    options: ClassVar[tuple[ExportOption, ...]] = (REPARAMETERISE,)
    distributions: ClassVar[tuple[str, ...]] = ("torch",)

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        import torch

        frozen = frozen_trace(model, example)
        torch.jit.save(frozen, str(out / "model.pt"))
        return ExportedFiles("model.pt", {"nodes": sum(1 for _ in frozen.graph.nodes())})

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]]:
        """The constants of the frozen graph: they have no names of the model's."""
        import torch

        frozen = torch.jit.load(str(entry), map_location="cpu")
        tensors = {}
        for node in frozen.graph.findAllNodes("prim::Constant"):
            if not node.hasAttribute("value") or node.kindOf("value") != "t":
                continue
            tensor = node.t("value")
            if tensor.is_floating_point():
                tensors[node.output().debugName()] = tensor.detach().float().numpy()
        return tensors


def frozen_trace(model: torch.nn.Module, example: torch.Tensor) -> Any:
    """The model's graph as it is written: traced on the example, its parameters constants.

    Raises DeployBenchError where a branch of the model would be lost.
    """
    import torch

    traced = keeping_branches(
        model, example, lambda module: torch.jit.trace(module, example, check_trace=False)
    )
    return torch.jit.freeze(traced)
