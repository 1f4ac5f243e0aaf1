"""TorchScript, without the model's own code.

A traced graph holds the device of every tensor that it makes as a constant, ``cpu`` where it was
traced there; ``map_location`` moves weights and leaves these, so they are rewritten for a GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import (
    Arrays,
    ForeignFile,
    ForeignTensor,
    ForeignWork,
    ProfiledSession,
    RunOptions,
    Serving,
)

from .torch_device import open_device
from .torch_session import TorchRunner, TorchSession, prepare_threads


class TorchScriptRunner(TorchRunner):
    name: ClassVar[str] = "torchscript"
    formats: ClassVar[frozenset[str]] = frozenset({"torchscript"})
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch",)
    cell_options: ClassVar[frozenset[str]] = TorchRunner.cell_options | {"memory_format"}
    profiles_layers: ClassVar[bool] = True
    adopts: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (".pt", ".ts", ".pth", ".torchscript", ".ptl"), "torchscript"
    )

    def look_into(self, file: Path) -> ForeignFile:
        from .torch_files import look_into_script

        return look_into_script(file)

    def outputs_of(self, file: Path, example: Arrays) -> tuple[ForeignTensor, ...]:
        from .torch_files import evaluating, open_script, outputs_of

        return outputs_of(evaluating(open_script(file)), example)

    def work_in(self, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
        from .torch_files import evaluating, open_script, work_in

        return work_in(evaluating(open_script(file)), shapes)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        import torch

        from .torch_files import evaluating

        prepare_threads(options)
        place = open_device(options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the format's age, which is the user's choice
            module = torch.jit.load(str(artifact.entry), map_location=place.name)
        if artifact.manifest.adopted is not None:  # somebody may have saved it while it trained
            evaluating(module)
        place_constants(module.graph, place.name)
        module = place.laid_out(module)
        return TorchSession(
            artifact, module, place, options, "TorchScript", artifact.manifest.precision
        )

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        from .torch_serving import FORMATS, serving

        opening = ['self.module = torch.jit.load(MODEL, map_location="cpu")']
        if artifact.manifest.adopted is not None:  # somebody may have saved it while it trained
            opening += [
                'if getattr(self.module, "training", False):',
                "    self.module.eval()",
            ]
        memory_format = FORMATS.get(getattr(options, "memory_format", ""))
        if memory_format is not None:  # a frozen graph holds its weights as constants
            opening += [
                'for node in self.module.graph.findAllNodes("prim::Constant"):',
                '    if node.hasAttribute("value") and node.kindOf("value") == "t":',
                '        weight = node.t("value")',
                "        if weight.dim() == 4:",
                f"            weight = weight.contiguous(memory_format={memory_format})",
                '            node.t_("value", weight)',
            ]
        held = frozenset({"memory_format"})
        return serving(artifact, options, opening=tuple(opening), held=held)

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        from .torch_layers import ProfiledTorchSession, ScriptedModules

        session = self.load(artifact, options)
        return ProfiledTorchSession(session, ScriptedModules())


def place_constants(graph: Any, device: str) -> None:
    """Let every device in the graph, other than ``device`` itself, be ``device``."""
    for node in graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() == "DeviceObjType" and node.hasAttribute("value"):
            node.s_("value", device)
