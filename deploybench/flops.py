"""Parameters, MACs and FLOPs of one image.

Counted: every matrix product and convolution that PyTorch's ``FlopCounterMode`` knows, attention
included, on the meta device (no arithmetic is done). A MAC is one multiply-add; FLOPs are 2 x MACs;
the "GFLOPs" of most papers are GMACs. Not counted, as is usual: norms, activations, softmax, additions.

Two things would silently count 0 and are set right here: fused attention on a CPU, whose operator has
no formula in the counter, and the fused encoder path of ``nn.MultiheadAttention``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count


def count_macs(module: nn.Module, example: torch.Tensor) -> int:
    """MACs of one call of ``module`` on ``example`` (images x channels x height x width).

    The module is not changed. When it does not run on the meta device it is run on the example itself.
    """
    fused_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        try:
            state = {name: tensor.to("meta") for name, tensor in module.state_dict(keep_vars=True).items()}
            return _count(lambda: torch.func.functional_call(module, state, (example.to("meta"),)))
        except Exception:  # not every model runs without data
            return _count(lambda: module(example))
    finally:
        torch.backends.mha.set_fastpath_enabled(fused_path)


def count_parameters(module: nn.Module) -> int:
    """The number of trainable scalars; buffers such as running means are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def _count(call: Any) -> int:
    aten = torch.ops.aten
    counter = FlopCounterMode(
        display=False,
        custom_mapping={aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention_flops},
    )
    with torch.no_grad(), counter:
        call()
    return int(counter.get_total_flops()) // 2


def _cpu_attention_flops(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    """FLOPs of fused attention from the shapes (batch, heads, tokens, head width), as on other devices."""
    return int(sdpa_flop_count(query, key, value))
