"""A checkpoint as one tree: every tensor of a file by its full name, none of them read yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from deploybench.data.inert_pickle import Inert
from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint_arguments import stored_arguments
from deploybench.models.checkpoint_files import damaged, read_weights
from deploybench.models.numpy_pickle import array_of
from deploybench.models.torch_pickle import StoredTensor

Entry = torch.Tensor | StoredTensor
"""A tensor of a checkpoint, read or not yet."""
StateDict = dict[str, torch.Tensor]

MOST_NODES = 2_000_000
"""Of a checkpoint: a small pickle can describe more than any memory holds."""
LISTED_KEYS = 8


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a file or folder by full name, none of them read yet.

    ``containers`` says in which mapping (by its name) each tensor lies. ``kinds`` are the classes
    that the file names; objects of theirs were not built. ``unnamed`` are lists of tensors, which
    belong to no name. ``arguments`` are those of the training that wrote it, as it stored them.
    """

    path: Path
    tensors: Mapping[str, Entry]
    containers: Mapping[str, str]
    kinds: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    arguments: Mapping[str, object] = field(default_factory=dict)


def read_checkpoint(path: Path) -> Checkpoint:
    """Every tensor of a file or folder.

    Raises DeployBenchError where it is no checkpoint, cannot be read, or holds no tensor by name.
    """
    file = read_weights(path)
    tree = _Tree()
    try:
        tree.walk(file.content, "")
    except RecursionError as error:
        raise damaged(path, error) from None
    if not tree.tensors:
        raise DeployBenchError(
            f"{path} holds no state dict: {_described(file.content, tree)}; nothing in it was "
            "executed",
            expected="tensors by name, or a dict with them",
            action="save it again with torch.save(model.state_dict(), FILE) or as safetensors",
        )
    return Checkpoint(
        path,
        tree.tensors,
        tree.containers,
        tuple(file.kinds),
        tuple(tree.unnamed),
        stored_arguments(file.content),
    )


def tensors_of(checkpoint: Checkpoint, names: Mapping[str, str]) -> StateDict:
    """The tensors at those full names, read, by the names that are given for them."""
    tensors = {}
    for own_name, name in names.items():
        entry = checkpoint.tensors[name]
        if isinstance(entry, StoredTensor):
            try:
                entry = entry.read()
            except Exception as error:  # whatever a damaged file makes of it
                raise damaged(checkpoint.path, error) from None
        tensors[own_name] = entry
    return tensors


def listed(keys: Sequence[str], most: int = LISTED_KEYS) -> str:
    """The first of the names, and how many more there are."""
    if not keys:
        return "none"
    text = ", ".join(keys[:most])
    more = len(keys) - most
    if more > 0:
        text += f", and {more} more"
    return text


def joined(name: str, key: str) -> str:
    if not name:
        return key
    return f"{name}.{key}"


class _Tree:
    """Collects the tensors of nested data by full name."""

    def __init__(self) -> None:
        self.tensors: dict[str, Entry] = {}
        self.containers: dict[str, str] = {}
        self.unnamed: list[str] = []
        self.nodes = 0
        self.open: set[int] = set()

    def walk(self, node: object, name: str, container: str | None = None) -> None:
        """``container`` is the mapping that the node lies in."""
        self.nodes += 1
        if self.nodes > MOST_NODES or id(node) in self.open:
            return  # an object that holds itself
        if isinstance(node, Inert):
            array = array_of(node)
            node = node if array is None else array
        if isinstance(node, torch.Tensor | StoredTensor):
            if name:
                self.tensors.setdefault(name, node)
                self.containers.setdefault(name, container or "")
            return
        self.open.add(id(node))
        if isinstance(node, Inert):
            self._walk_object(node, name)
        elif isinstance(node, Mapping):
            for key, value in node.items():
                self.walk(value, joined(name, str(key)), name)
        elif isinstance(node, list | tuple):
            if any(isinstance(item, torch.Tensor | StoredTensor) for item in node):
                self.unnamed.append(name)
            else:
                for index, item in enumerate(node):
                    self.walk(item, joined(name, str(index)), name)
        self.open.discard(id(node))

    def _walk_object(self, node: Inert, name: str) -> None:
        """The tensors of an object that was not built: of a module, those of its state dict."""
        if not isinstance(node.state, Mapping):
            return
        if "_parameters" in node.state and "_modules" in node.state:
            self._walk_module(node, name, name)
            return
        for key, value in node.state.items():
            self.walk(value, joined(name, str(key)), name)

    def _walk_module(self, node: Inert, name: str, container: str) -> None:
        """As ``state_dict`` does: parameters, persistent buffers, those of the modules in it."""
        state = node.state
        if not isinstance(state, Mapping) or (id(node) in self.open and name != container):
            return
        self.open.add(id(node))
        passing = state.get("_non_persistent_buffers_set") or ()
        for held in ("_parameters", "_buffers"):
            for key, value in dict(state.get(held) or {}).items():
                if held == "_buffers" and key in passing:
                    continue
                self.walk(value, joined(name, str(key)), container)
        for key, inner in dict(state.get("_modules") or {}).items():
            if isinstance(inner, Inert):
                self._walk_module(inner, joined(name, str(key)), container)
        self.open.discard(id(node))


def _described(content: object, tree: _Tree) -> str:
    """What there is in place of tensors."""
    if tree.unnamed:
        return f"its tensors are in lists without names ({listed(tree.unnamed)})"
    if isinstance(content, Mapping):
        return f"keys {listed([str(key) for key in content])}"
    if isinstance(content, Inert):
        return f"an object of {content.kind}"
    if isinstance(content, torch.Tensor | StoredTensor):
        return "one tensor without a name"
    return type(content).__name__
