"""The program of ``torch.export``, run operator by operator without the model's own code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import (
    Arrays,
    ForeignFile,
    ForeignTensor,
    ForeignWork,
    RunOptions,
    Serving,
)
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU

from .torch_device import open_device
from .torch_session import TorchRunner, TorchSession, effective_precision, prepare_threads

if TYPE_CHECKING:
    import torch


class TorchExportRunner(TorchRunner):
    name: ClassVar[str] = "torch-export"
    formats: ClassVar[frozenset[str]] = frozenset({"torch-export"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    oldest: ClassVar[Mapping[str, str]] = {"torch": "2.2"}
    adopts: ClassVar[Mapping[str, str]] = {".pt2": "torch-export"}

    def look_into(self, file: Path) -> ForeignFile:
        from .torch_files import look_into_program

        return look_into_program(file)

    def outputs_of(self, file: Path, example: Arrays) -> tuple[ForeignTensor, ...]:
        from .torch_files import open_program, outputs_of

        return outputs_of(open_program(file).module(), example)

    def work_in(self, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
        from .torch_files import open_program, work_in

        return work_in(open_program(file).module(), shapes)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        import torch

        prepare_threads(options)
        place = open_device(options)
        program = torch.export.load(artifact.entry)
        module = (program if place.name == CPU else moved(program, place.name)).module()
        precision = effective_precision(module, artifact.manifest.precision)
        return TorchSession(artifact, module, place, options, "ExportedProgram", precision)

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        from .torch_serving import serving

        opening = ("self.module = torch.export.load(MODEL).module()",)
        return serving(artifact, options, opening=opening)


def moved(program: torch.export.ExportedProgram, device: str) -> torch.export.ExportedProgram:
    """The program with its weights, and the devices that its operators name, on ``device``.

    Raises DeployBenchError where this PyTorch has no pass for it.
    """
    import torch

    try:
        from torch.export.passes import move_to_device_pass
    except ImportError:
        raise DeployBenchError(
            f"PyTorch {torch.__version__} cannot move an exported program to {device}",
            expected="a PyTorch with torch.export.passes.move_to_device_pass",
            action="run this artifact with --device cpu",
        ) from None
    return move_to_device_pass(program, device)
