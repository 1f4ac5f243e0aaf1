"""PyTorch itself: the weights as safetensors and the recipe to build the module again.

The target needs torch and the model's own code (timm, or the user's package). This is the form that
eager mode and ``torch.compile`` run, and the baseline of every speed-up.
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

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


class PyTorchExporter(Exporter):
    name: ClassVar[str] = "pytorch"
    precisions: ClassVar[frozenset[str]] = frozenset({"fp32", "bf16", "fp16"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")
    options: ClassVar[tuple[ExportOption, ...]] = (REPARAMETERISE,)
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")

    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        from safetensors.torch import save_file

        tensors = {
            name: tensor.detach().contiguous().clone()
            for name, tensor in model.state_dict().items()
        }
        save_file(tensors, out / "weights.safetensors")
        return ExportedFiles("weights.safetensors", {"tensors": len(tensors)})

    def stored_tensors(self, entry: Path) -> Mapping[str, npt.NDArray[np.float32]]:
        from safetensors.torch import load_file

        tensors = load_file(entry)
        return {
            name: tensor.float().numpy()
            for name, tensor in tensors.items()
            if tensor.is_floating_point()
        }
