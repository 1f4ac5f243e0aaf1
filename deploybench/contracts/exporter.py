"""The exporter: writes a model as an artifact of one format."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts.plugin import Plugin
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import torch

    from deploybench.artifacts.artifact import Preprocessing

INPUT_NAME = "input"
OUTPUT_NAME = "logits"


@dataclass(frozen=True)
class ExportSpec:
    """How an artifact is to be written. ``batch`` None means a dynamic batch dimension.

    ``opset`` and ``ir_version`` concern ONNX; None leaves the exporter's default. ``threads`` is
    the CPU budget that the export process may use. ``target`` is the GPU to write for (``sm86``),
    None the one at hand. ``preprocessing`` says what the model's images are, for an exporter that
    calibrates on some.
    """

    precision: str = "fp32"
    batch: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    threads: int = 1
    target: str | None = None
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class ExportedFiles:
    """What an exporter wrote: ``entry`` is the file that a runner opens, relative to the artifact.

    ``checked`` says what the exporter itself held against the reference, where the file may not run
    on its host.
    """

    entry: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    checked: str = ""


class Exporter(Plugin):
    """Writes an artifact of one format; the format is the exporter's name."""

    precisions: ClassVar[frozenset[str]] = frozenset({"fp32"})
    by_default: ClassVar[bool] = True
    """False: it writes only what ``--backend`` names."""
    takes_target: ClassVar[bool] = False
    """Whether what it writes is for one kind of GPU, which ``--target`` names."""

    def check_target(self, target: str | None) -> None:
        """Raise DeployBenchError unless it can write here for that GPU (``sm86``); None is the one
        at hand, if any."""
        if target is not None:
            raise DeployBenchError(
                f"{self.name} artifacts are for no particular GPU, and --target asks for {target}",
                action=f"leave out --target, or --backend {self.name}",
            )

    def builds_for(self, target: str | None) -> bool:
        """Whether :meth:`check_target` finds nothing wrong with the target."""
        try:
            self.check_target(target)
        except DeployBenchError:
            return False
        return True

    @abstractmethod
    def export(
        self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path
    ) -> ExportedFiles:
        """Write ``model`` into the folder ``out``.

        ``model`` is in eval mode and takes and returns float32 whatever ``spec.precision`` is;
        ``example`` is a float32 batch of shape (batch, channels, height, width). The input is to be
        called :data:`INPUT_NAME` and the output :data:`OUTPUT_NAME` where the format has names.
        """
