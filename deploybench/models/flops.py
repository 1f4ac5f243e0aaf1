"""MACs and FLOPs of one image.

Counted: every matrix product and convolution that PyTorch's ``FlopCounterMode`` knows, attention
included, on the meta device (no arithmetic is done). A MAC is one multiply-add; FLOPs are 2 x MACs;
the "GFLOPs" of most papers are GMACs. Not counted, as is usual: norms, activations, softmax,
additions.

Two things would silently count 0 and are set right here: fused attention on a CPU, whose operator
has no formula in the counter, and the fused encoder path of ``nn.MultiheadAttention``.

By kind: a product inside a layer whose class is called attention belongs to it, to its
*projections* when a linear or convolution layer does it, else to its *mixing* (q k^T and what
stands in its place); the same goes for MLPs; of the rest, convolutions are told from others
(classifier, patch merging).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

ATTENTION = re.compile("Attention|Attn|XCA")
MLP = re.compile("Mlp|MLP|FeedForward")
"""What the classes of attention layers and MLPs are called in timm, torch and here."""
Formulas = Mapping[Any, Callable[..., int]]


@dataclass(frozen=True)
class MacsByKind:
    """MACs of one call, by what does them."""

    attention_mixing: int
    attention_projections: int
    mlp: int
    convolution: int
    other: int

    @property
    def attention(self) -> int:
        return self.attention_mixing + self.attention_projections

    @property
    def total(self) -> int:
        return self.attention + self.mlp + self.convolution + self.other


def count_macs(module: nn.Module, example: torch.Tensor) -> int:
    """MACs of one call of ``module`` on ``example`` (images x channels x height x width).

    The module is not changed. When it does not run on the meta device it is run on the example
    itself.
    """
    return _macs(_counted(module, example).get_flop_counts()["Global"])


def count_layer_values(module: nn.Module, example: torch.Tensor) -> int:
    """Numbers that the products and convolutions of one call read and write, each layer apart,
    without the weights.

    A product's right factor counts as weights where it has no batch (a linear layer). Attention
    counts as its two products with the matrix between them, fused or not.
    """
    counts = _counted(module, example, LAYER_VALUES).get_flop_counts()["Global"]
    return sum(values for op, values in counts.items() if op in LAYER_VALUES)


def count_macs_by_kind(module: nn.Module, example: torch.Tensor) -> MacsByKind:
    """The same, by kind."""
    counts = _counted(module, example).get_flop_counts()
    root = type(module).__name__

    def macs_of(path: str, *, convolutions: bool = False) -> int:
        found = counts.get(f"{root}.{path}" if path else "Global", {})
        return _macs(
            {
                op: flops
                for op, flops in found.items()
                if op is torch.ops.aten.convolution or not convolutions
            }
        )

    attentions = list(_outermost(module, ATTENTION))
    mlps = [
        path
        for path in _outermost(module, MLP)
        if not any(path.startswith(f"{other}.") for other in attentions)
    ]
    projections = sum(
        macs_of(f"{path}.{inner}")
        for path in attentions
        for inner, layer in module.get_submodule(path).named_modules()
        if isinstance(layer, (nn.Linear, nn.Conv2d))
    )
    attention, mlp = sum(map(macs_of, attentions)), sum(map(macs_of, mlps))
    inside = sum(macs_of(path, convolutions=True) for path in (*attentions, *mlps))
    convolution = macs_of("", convolutions=True) - inside
    other = macs_of("") - attention - mlp - convolution
    return MacsByKind(attention - projections, projections, mlp, convolution, other)


def _outermost(module: nn.Module, named: re.Pattern[str]) -> Iterator[str]:
    """The paths of the submodules whose class is called like that and that are in no other such.

    A block that is called after its attention and has an MLP as well (XCiT's, MaxViT's) is not
    meant.
    """
    found: list[str] = []
    for path, layer in module.named_modules():
        inside = any(path.startswith(f"{other}.") for other in found)
        if (
            path
            and not inside
            and named.search(type(layer).__name__)
            and (named is MLP or not _has_mlp(layer))
        ):
            found.append(path)
            yield path


def _has_mlp(layer: nn.Module) -> bool:
    return any(MLP.search(type(part).__name__) for part in layer.modules())


def _counted(
    module: nn.Module, example: torch.Tensor, formulas: Formulas | None = None
) -> FlopCounterMode:
    """The counter after one call of the module; ``formulas`` by operator count something else than
    FLOPs."""
    formulas = formulas or {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops
    }
    fused_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        try:
            state = {
                name: tensor.to("meta")
                for name, tensor in (*module.named_parameters(), *module.named_buffers())
            }
            return _count(
                lambda: torch.func.functional_call(module, state, (example.to("meta"),)), formulas
            )
        except Exception:  # not every model runs without data
            return _count(lambda: module(example), formulas)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_path)


def _count(call: Callable[[], object], formulas: Formulas) -> FlopCounterMode:
    counter = FlopCounterMode(display=False, custom_mapping=dict(formulas))
    with torch.no_grad(), counter:
        call()
    return counter


def _macs(flops: dict[Any, int]) -> int:
    return sum(flops.values()) // 2


def _cpu_attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    """FLOPs of fused attention from the shapes (batch, heads, tokens, head width), as on other
    devices."""
    return int(sdpa_flop_count(query, key, value))


def _values(*positions: int) -> Callable[..., int]:
    """Counts the numbers in the arguments at these positions and in the result."""

    def count(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
        return int(sum(prod(shapes[position]) for position in positions) + prod(out_shape))

    return count


def _attention_values(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    """From the shapes (batch, heads, tokens, head width): what two products would read and
    write."""
    queries, matrix = prod(query[:-1]), prod(query[:-1]) * key[-2]
    return int(prod(query) + prod(key) + prod(value) + queries * value[-1] + 2 * matrix)


_ATEN = torch.ops.aten
_ATTENTIONS = (
    "flash_attention",
    "flash_attention_for_cpu",
    "efficient_attention",
    "cudnn_attention",
)
LAYER_VALUES: Formulas = {
    _ATEN.convolution: _values(0),
    _ATEN.mm: _values(0),
    _ATEN.addmm: _values(1),
    _ATEN.bmm: _values(0, 1),
    _ATEN.baddbmm: _values(1, 2),
} | {
    getattr(_ATEN, f"_scaled_dot_product_{name}"): _attention_values
    for name in _ATTENTIONS
    if hasattr(_ATEN, f"_scaled_dot_product_{name}")
}
