"""TorchScript, without the model's own code.

A traced graph holds the device of every tensor that it makes as a constant, ``cpu`` where it was
traced there; ``map_location`` moves weights and leaves these, so they are rewritten for a GPU. It
also moves the numbers by which a graph counts sizes: these go back to the CPU, or every call would
wait for the GPU to tell a size that the CPU knows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

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
        from .torch_files import evaluating

        prepare_threads(options)
        place = open_device(options)
        module = read_script(str(artifact.entry), place.name)
        if artifact.manifest.adopted is not None:  # somebody may have saved it while it trained
            evaluating(module)
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


def read_script(source: str | IO[bytes], device: str, numbers: Iterable[Any] | None = None) -> Any:
    """The module of a file, with all that it computes with on ``device``; see
    :func:`place_constants`."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the format's age, which is the user's choice
        module = torch.jit.load(source, map_location=device)
    place_constants(module.graph, device, numbers)
    return module


def place_constants(graph: Any, device: str, numbers: Iterable[Any] | None = None) -> None:
    """Let every device in the graph, other than ``device`` itself, be ``device``, and count sizes
    on the CPU.

    ``numbers`` are the tensors that :func:`numbers_of_sizes` gave of the graph on the CPU, for a
    device that cannot tell what they are.
    """
    for node in graph.findAllNodes("prim::Constant"):
        if node.output().type().kind() == "DeviceObjType" and node.hasAttribute("value"):
            node.s_("value", device)
    constants = numbers_of_sizes(graph)
    if numbers is None:
        numbers = [constant.t("value").cpu() for constant in constants]
    for constant, number in zip(constants, numbers, strict=True):
        constant.t_("value", number)


def numbers_of_sizes(graph: Any) -> list[Any]:
    """The nodes of the constants that sizes are computed with, use by use.

    A tracer makes a tensor of each size that the model reads (``prim::NumToTensor``), on the CPU
    whatever the images are on, and computes with tensors of no dimensions from there.
    """
    sizes: set[str] = set()
    numbers = []
    for node in _nodes(graph):
        if node.kind() == "prim::NumToTensor":
            sizes.add(node.output().debugName())
            continue
        tensors = [value for value in node.inputs() if value.type().kind() == "TensorType"]
        known = [value for value in tensors if value.debugName() in sizes]
        others = [value.node() for value in tensors if value.debugName() not in sizes]
        if not known or not all(_is_number(other) for other in others):
            continue
        numbers += others
        sizes |= {value.debugName() for value in node.outputs()}
    return numbers


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node in the order in which they run, those of branches and loops at their places."""
    for node in graph.nodes():
        yield node
        for block in node.blocks():
            yield from _nodes(block)


def _is_number(node: Any) -> bool:
    """Whether it is a constant tensor of no dimensions."""
    if node.kind() != "prim::Constant" or not node.hasAttribute("value"):
        return False
    if node.kindOf("value") != "t":
        return False
    return bool(node.t("value").dim() == 0)
