"""MACs and FLOPs of one image.

Counted: every matrix product and convolution that PyTorch's ``FlopCounterMode`` knows, attention
included, and those that it does not know and :mod:`deploybench.models.operators` does; on the meta
device (no arithmetic is done). A MAC is one multiply-add; FLOPs are 2 x MACs; the "GFLOPs" of most
papers are GMACs. Not counted, as is usual: elementwise operators, norms, activations, softmax,
pooling, interpolation, additions. What else no formula knows is named: the figure is *at least*.

The fused encoder path of ``nn.MultiheadAttention`` would silently count 0: it is turned off here.

By kind: a product inside a layer whose class is called attention belongs to it, to its
*projections* when a linear or convolution layer does it, else to its *mixing* (q k^T and what
stands in its place); the same goes for MLPs; of the rest, convolutions are told from others
(classifier, patch merging).
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from deploybench.models.operators import Formulas, formulas
from deploybench.models.uncounted import OperatorWatch

ATTENTION = re.compile("Attention|Attn|XCA")
MLP = re.compile("Mlp|MLP|FeedForward")
"""What the classes of attention layers and MLPs are called in timm, torch and here."""
CONVOLUTION = re.compile("conv")
"""What convolutions are called among operators: PyTorch's, torchvision's deformable, quantised."""
PROJECTIONS = (nn.Linear, nn.Conv2d)
_ATEN = torch.ops.aten


@dataclass(frozen=True)
class Macs:
    """MACs of one call: at least ``total`` where ``uncounted`` names what no formula knows."""

    total: int
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class MacsByKind:
    """MACs of one call, by what does them.

    ``uncounted`` are the operators that may do more and that no formula knows.
    """

    attention_mixing: int
    attention_projections: int
    mlp: int
    convolution: int
    other: int
    uncounted: tuple[str, ...] = ()

    @property
    def attention(self) -> int:
        return self.attention_mixing + self.attention_projections

    @property
    def total(self) -> int:
        return self.attention + self.mlp + self.convolution + self.other


def count_macs(module: nn.Module, example: torch.Tensor) -> int:
    """MACs of one call of ``module`` on ``example`` (images x channels x height x width).

    The module is not changed. When it does not run on the meta device it is run on the example
    itself. :func:`count_all_macs` says whether something was not counted.
    """
    return count_all_macs(module, example).total


def count_all_macs(module: nn.Module, example: torch.Tensor) -> Macs:
    """The same, with the operators that may do more than was counted."""
    counted = _counted(module, example)
    return Macs(_macs(counted.flops.get("Global", {})), counted.uncounted)


def count_layer_values(module: nn.Module, example: torch.Tensor) -> int:
    """Numbers that the products and convolutions of one call read and write, weights apart.

    Each layer counts by itself. A product's right factor counts as weights where it has no batch (a
    linear layer). Attention counts as its two products with the matrix between them, fused or not.
    """
    known = layer_value_formulas()
    counts = _counted(module, example, known).flops.get("Global", {})
    return sum(values for op, values in counts.items() if op in known)


def count_by_module(module: nn.Module, example: torch.Tensor) -> dict[str, tuple[int, int]]:
    """By path, the MACs of every module in one call, and the numbers that its products read and
    write: of what lies inside it as well, the whole model under the empty path."""
    known = layer_value_formulas()
    flops = _counted(module, example).flops
    values = _counted(module, example, known).flops
    root = type(module).__name__
    found = {}
    for path in ("", *(name for name, _ in module.named_modules() if name)):
        whole = f"{root}.{path}" if path else root
        read_and_written = 0
        for operator, count in values.get(whole, {}).items():
            if operator in known:
                read_and_written += count
        found[path] = (_macs(flops.get(whole, {})), read_and_written)
    return found


def count_macs_by_kind(module: nn.Module, example: torch.Tensor) -> MacsByKind:
    """The same, by kind."""
    # FLOPs by operator, by path: those of a module are those of all that lies inside it.
    counted = _counted(module, example)
    flops_by_path = counted.flops
    root = type(module).__name__

    def flops_of(path: str) -> dict[Any, int]:
        return flops_by_path.get(f"{root}.{path}", {})

    attentions = _attentions(module)
    mlps = [path for path in _outermost(module, MLP) if not _inside(path, attentions)]
    projections = [
        f"{path}.{inner}"
        for path in attentions
        for inner, layer in module.get_submodule(path).named_modules()
        if isinstance(layer, PROJECTIONS)
    ]
    attention_macs = sum(_macs(flops_of(path)) for path in attentions)
    projection_macs = sum(_macs(flops_of(path)) for path in projections)
    mlp_macs = sum(_macs(flops_of(path)) for path in mlps)

    # Convolutions by what is left of all of them when those inside attentions and MLPs are gone.
    whole = flops_by_path.get("Global", {})
    inside = sum(_convolution_macs(flops_of(path)) for path in (*attentions, *mlps))
    convolution_macs = _convolution_macs(whole) - inside
    return MacsByKind(
        attention_mixing=attention_macs - projection_macs,
        attention_projections=projection_macs,
        mlp=mlp_macs,
        convolution=convolution_macs,
        other=_macs(whole) - attention_macs - mlp_macs - convolution_macs,
        uncounted=counted.uncounted,
    )


def _attentions(module: nn.Module) -> list[str]:
    """The paths of the attention layers.

    A block that is called after its attention and has an MLP as well (XCiT's, MaxViT's) is none.
    """
    return _outermost(module, ATTENTION, lambda layer: not _has_mlp(layer))


def _outermost(
    module: nn.Module,
    class_name: re.Pattern[str],
    accepted: Callable[[nn.Module], bool] = lambda layer: True,
) -> list[str]:
    """The paths of the submodules whose class is called like that and that are in no other such."""
    paths: list[str] = []
    for path, layer in module.named_modules():
        if not path or _inside(path, paths):  # the model itself has an empty path
            continue
        if class_name.search(type(layer).__name__) and accepted(layer):
            paths.append(path)
    return paths


def _inside(path: str, others: Iterable[str]) -> bool:
    """Whether ``path`` is that of a submodule of one of ``others``."""
    return any(path.startswith(f"{other}.") for other in others)


def _has_mlp(layer: nn.Module) -> bool:
    return any(MLP.search(type(part).__name__) for part in layer.modules())


@dataclass(frozen=True)
class _Counted:
    """FLOPs by operator by module path (``Global``: all), and what was not counted."""

    flops: dict[str, dict[Any, int]]
    uncounted: tuple[str, ...]


def _counted(
    module: nn.Module, example: torch.Tensor, by_operator: Formulas | None = None
) -> _Counted:
    """What the counter finds in one call of the module.

    Formulas ``by_operator`` count something else than FLOPs.
    """
    if by_operator is None:
        by_operator = formulas()
    # The fused encoder is one operator, which the counter has no formula for.
    fused_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        try:
            # Weights and input as shapes without data, made before the counter looks on.
            tensors = (*module.named_parameters(), *module.named_buffers())
            shapes = {name: tensor.to("meta") for name, tensor in tensors}
            inputs = (example.to("meta"),)
            return _count(
                lambda: functional_call(module, shapes, inputs), by_operator, shapes.values()
            )
        except Exception:  # not every model runs without data
            weights = (*module.parameters(), *module.buffers())
            return _count(lambda: module(example), by_operator, weights)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_path)


def _count(
    call: Callable[[], object], by_operator: Formulas, weights: Iterable[torch.Tensor] = ()
) -> _Counted:
    settings: dict[str, Any] = {"display": False, "custom_mapping": dict(by_operator)}
    if "skip_unsupported" in inspect.signature(FlopCounterMode).parameters:
        settings["skip_unsupported"] = True  # the watch names what is skipped
    counter = FlopCounterMode(**settings)
    watch = OperatorWatch(weights, by_operator)
    with warnings.catch_warnings(), torch.no_grad(), watch.watching_functions(), watch, counter:
        warnings.simplefilter("ignore")
        call()
    return _Counted(dict(counter.get_flop_counts()), watch.uncounted)


def _macs(flops: Mapping[Any, int]) -> int:
    """The MACs of FLOPs by operator."""
    return sum(flops.values()) // 2


def _convolution_macs(flops: Mapping[Any, int]) -> int:
    """The MACs of the convolutions among FLOPs by operator."""
    found = 0
    for operator, count in flops.items():
        if CONVOLUTION.search(str(operator)):
            found += count
    return found // 2


def _values(*positions: int) -> Callable[..., int]:
    """Counts the numbers in the arguments at these positions and in the result."""

    def count(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
        read = sum(prod(shapes[position]) for position in positions)
        written = prod(out_shape)
        return int(read + written)

    return count


def _attention_values(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any
) -> int:
    """From the shapes (batch, heads, tokens, head width): what two products read and write."""
    queries = prod(query[:-1])  # of all heads and images
    matrix = queries * key[-2]  # one weight for each query and key
    mixed = queries * value[-1]
    first_product = prod(query) + prod(key) + matrix
    second_product = matrix + prod(value) + mixed
    return int(first_product + second_product)


_FUSED_ATTENTIONS = (
    "flash_attention",
    "flash_attention_for_cpu",
    "efficient_attention",
    "cudnn_attention",
)


def layer_value_formulas() -> Formulas:
    """By operator, what a call reads and writes without its weights."""
    found: dict[Any, Callable[..., int]] = {
        _ATEN.convolution: _values(0),
        _ATEN.mm: _values(0),
        _ATEN.addmm: _values(1),
        _ATEN.bmm: _values(0, 1),
        _ATEN.baddbmm: _values(1, 2),
    }
    for name in _FUSED_ATTENTIONS:
        operator = getattr(_ATEN, f"_scaled_dot_product_{name}", None)
        if operator is not None:
            found[operator] = _attention_values
    deformable = getattr(torch.ops.torchvision, "deform_conv2d", None)
    if deformable is not None:
        found[deformable] = _values(0, 2, 3)  # its image, offsets and modulation
    return found
