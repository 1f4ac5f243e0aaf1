"""Sees every softmax of a forward pass: what it gave, in which layer, and what became of it.

Seen are PyTorch's operators, whatever called them (``nn.Softmax``, ``F.softmax``, a method of a
tensor, ``nn.MultiheadAttention``). Fused attention is taken apart for the time of reading, so that
its softmax is one, too; a kernel that cannot be taken apart is seen as such.

A softmax is *used as it is* when a product with something computed takes it, through views and
copies alone: its values are then the weights of a sum. One that a layer with weights or arithmetic
takes first (talking heads, gates) is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

SOFTMAXES = ("_softmax", "_safe_softmax", "_masked_softmax")
FUSED = ("_scaled_dot_product_", "_flash_attention", "_efficient_attention", "_fused_sdp")
PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm", "mv"})
COPIES = frozenset({"clone", "_to_copy", "_unsafe_view", "contiguous", "detach", "native_dropout"})
PASSIVE = (nn.Softmax, nn.Dropout, nn.Identity)
"""Layers that a softmax is not named after: the layer around them is what attends."""


@dataclass
class Softmax:
    """One softmax of the forward pass.

    ``layers`` are the module paths around it, outermost first. ``values`` have the softmax along
    ``dim``; there are none of a fused kernel.
    """

    layers: tuple[str, ...]
    operator: str
    values: torch.Tensor | None
    dim: int = -1
    used_as_it_is: bool = False

    @property
    def layer(self) -> str:
        return self.layers[-1]


class SoftmaxWatch(TorchDispatchMode):
    """Collects the softmaxes that run under it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[Softmax] = []
        self.paused = False
        self._layers: list[str] = [""]
        # By identity, and held, so that no other tensor takes the identity of one that died.
        held = (*model.parameters(), *model.buffers())
        self._weights = {id(tensor): tensor for tensor in held}
        self._came_from: dict[int, tuple[torch.Tensor, Softmax]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if self.paused:
            return result
        name = func._schema.name.partition("::")[2]
        if name in SOFTMAXES:
            self._note(name, result, args[1])
        elif name.startswith(FUSED) and isinstance(tree_flatten(result)[0][0], torch.Tensor):
            self.seen.append(Softmax(tuple(self._layers), name, None))
        else:
            self._follow(func, name, tree_flatten((args, kwargs))[0], result)
        return result

    def _note(self, name: str, values: torch.Tensor, dim: Any) -> None:
        if not isinstance(dim, int):  # a masked softmax has a mask there
            dim = -1
        softmax = Softmax(tuple(self._layers), name, values, dim)
        self.seen.append(softmax)
        self._came_from[id(values)] = (values, softmax)

    def _follow(self, func: Any, name: str, given: list[Any], result: Any) -> None:
        """Where a softmax goes: on through views and copies, or into a product."""
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        followed = [self._came_from.get(id(value)) for value in tensors]
        sources = [entry[1] for entry in followed if entry is not None]
        if func.is_view and len(tensors) == 1 and id(tensors[0]) in self._weights:
            self._weights[id(result)] = result
        if not sources:
            return
        if func.is_view or name in COPIES:
            for made in tree_flatten(result)[0]:
                if isinstance(made, torch.Tensor):
                    self._came_from[id(made)] = (made, sources[0])
        elif name in PRODUCTS and not any(id(value) in self._weights for value in tensors):
            for source in sources:
                source.used_as_it_is = True

    @contextmanager
    def following(self, model: nn.Module) -> Iterator[None]:
        """Know the layer that runs: hooks while the model is called."""
        with ExitStack() as hooks:
            for path, layer in model.named_modules():
                if not path or isinstance(layer, PASSIVE):
                    continue
                enter = layer.register_forward_pre_hook(self._entering(path), prepend=True)
                leave = layer.register_forward_hook(self._leaving, always_call=True)
                hooks.callback(enter.remove)
                hooks.callback(leave.remove)
            yield

    def _entering(self, path: str) -> Any:
        def enter(layer: nn.Module, inputs: Any) -> None:
            self._layers.append(path)

        return enter

    def _leaving(self, layer: nn.Module, inputs: Any, output: Any) -> None:
        self._layers.pop()


@contextmanager
def taken_apart() -> Iterator[None]:
    """Attention as its single operators instead of fused kernels, while it is read."""
    fused_encoder = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _unfused():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_encoder)


def _unfused() -> Any:
    try:
        from torch.nn.attention import SDPBackend, sdpa_kernel
    except ImportError:  # before torch 2.3
        return torch.backends.cuda.sdp_kernel(
            enable_flash=False, enable_math=True, enable_mem_efficient=False
        )
    return sdpa_kernel(SDPBackend.MATH)
