"""What a reduced precision costs on a model: its eager outputs with every number rounded.

Parity holds an artifact that computes in bf16 against what bf16 must cost on this very model, not
against one budget for all models. The cost is measured by emulation: float32 arithmetic whose
weights, inputs and results are rounded to the precision after each operator, as an eager module of
that precision does. So it is the same on every host, with or without arithmetic in the precision,
and takes about as long as one pass in float32. Against PyTorch's own bf16 and fp16 modules of
seven architectures the root mean square of the error agrees to 10 %.

fp32 costs what float32 itself rounds: the same module in float64 tells (:func:`exact`).

tf32 is a way to multiply: only what goes into products and convolutions is rounded, to a mantissa
of 10 bits. Sums are in float32 everywhere, as in tensor cores.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

Rounding = Callable[[torch.Tensor], torch.Tensor]

MEASURED = ("tf32", "fp16", "bf16")
"""The reduced precisions whose cost is measured at export."""
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}
FACTORS: Mapping[str, tuple[int, ...]] = {
    "convolution": (0, 1),
    "linear": (0, 1),
    "mm": (0, 1),
    "bmm": (0, 1),
    "mv": (0, 1),
    "dot": (0, 1),
    "addmm": (1, 2),
    "addmv": (1, 2),
    "baddbmm": (1, 2),
}
"""Which arguments of an operator of ATen are multiplied with each other; the others are added."""
FUSED_ATTENTION = "scaled_dot_product"
TF32_DROPPED_BITS = 13
"""Of float32's 23 bits of mantissa, tf32 keeps 10."""


@torch.no_grad()
def outputs_in(module: nn.Module, images: torch.Tensor, precision: str) -> torch.Tensor:
    """What ``module`` (float32, in eval mode) puts out on ``images`` in a reduced precision.

    ``images`` are float32, (images, channels, height, width); the outputs are float32 too. The
    module stays as it is.
    """
    if precision == "tf32":
        with _RoundedFactors(_to_tf32):
            tf32_outputs: torch.Tensor = module(images)
        return tf32_outputs
    rounding = _to_dtype(DTYPES[precision])
    rounded = {}
    for name, tensor in module.state_dict().items():
        if tensor.dtype == torch.float32:
            rounded[name] = rounding(tensor)
    with _RoundedResults(rounding):
        outputs: torch.Tensor = torch.func.functional_call(module, rounded, (rounding(images),))
    return outputs


@torch.no_grad()
def exact(module: nn.Module, images: torch.Tensor) -> Any:
    """What a copy of ``module`` in float64 returns on ``images``, float32, in the module's own
    structure: beside it, what float32 rounds can be seen."""
    copied = copy.deepcopy(module).double()
    return copied(images.double())


class _RoundedResults(TorchDispatchMode):
    """Rounds every float32 tensor that an operator puts out."""

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rounding = rounding

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        declared = func._schema.returns
        if isinstance(result, torch.Tensor):
            return self._rounded(result, declared[0].alias_info)
        if not isinstance(result, (tuple, list)) or len(declared) != len(result):
            return result  # a list of views, as split and unbind put out
        parts = []
        for part, declaration in zip(result, declared, strict=True):
            parts.append(self._rounded(part, declaration.alias_info))
        return type(result)(parts)

    def _rounded(self, result: Any, alias: Any) -> Any:
        if not isinstance(result, torch.Tensor) or result.dtype != torch.float32:
            return result
        if alias is None:
            return self._rounding(result)
        if alias.is_write:  # written in place, and seen by whoever else holds it
            result.copy_(self._rounding(result))
        return result  # a view of what was rounded before


class _RoundedFactors(TorchDispatchMode):
    """Rounds the float32 factors of every product and convolution."""

    def __init__(self, rounding: Rounding) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rounding = rounding

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func._schema.name.partition("::")[2]
        positions = FACTORS.get(name, ())
        if FUSED_ATTENTION in name:
            positions = (0, 1, 2)  # queries, keys and values
        arguments = list(args)
        for position in positions:
            factor = arguments[position]
            if isinstance(factor, torch.Tensor) and factor.dtype == torch.float32:
                arguments[position] = self._rounding(factor)
        return func(*arguments, **(kwargs or {}))


def _to_dtype(dtype: torch.dtype) -> Rounding:
    """Rounding to the nearest number of a shorter format, kept as float32."""

    def rounded(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(dtype).to(torch.float32)

    return rounded


def _to_tf32(tensor: torch.Tensor) -> torch.Tensor:
    """Rounding to the nearest number with a mantissa of 10 bits, to the even one of two."""
    bits = tensor.contiguous().view(torch.int32)
    last_kept = (bits >> TF32_DROPPED_BITS) & 1
    half = (1 << (TF32_DROPPED_BITS - 1)) - 1
    kept = ~((1 << TF32_DROPPED_BITS) - 1)
    return ((bits + half + last_kept) & kept).view(torch.float32)
