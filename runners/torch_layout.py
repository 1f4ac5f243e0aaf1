"""How convolutions' weights and images lie in memory: channels first (contiguous) or last.

A kernel of one pixel, or of one channel, lies the same either way: such weights tell nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import torch

CHANNELS_LAST, CONTIGUOUS = "channels_last", "contiguous"


def laid_out(module: Any, layout: str) -> Any:
    """The module with its weights in that layout: its own, or the constants of a frozen graph.

    Raises DeployBenchError where it has no weight that could lie in another way.
    """
    import torch

    if not any(_telling(weight) for weight in _weights(module)):
        raise DeployBenchError(
            f"--memory-format {layout}, and no convolution of the model has another layout",
            expected="a model with convolutions of more than one pixel and channel",
            action="leave out --memory-format",
        )
    memory_format = torch.contiguous_format
    if layout == CHANNELS_LAST:
        memory_format = torch.channels_last
    module = module.to(memory_format=memory_format)
    if not isinstance(module, torch.jit.ScriptModule):
        return module
    for node in _constants(module.graph):
        tensor = node.t("value")
        if tensor.dim() == 4:
            node.t_("value", tensor.contiguous(memory_format=memory_format))
    return module


def layout_of(module: Any) -> str | None:
    """The layout of all weights that tell; None where none tells, or they differ."""
    import torch

    layouts = set()
    for weight in _weights(module):
        if not _telling(weight):
            continue
        if weight.is_contiguous(memory_format=torch.channels_last):
            layouts.add(CHANNELS_LAST)
        elif weight.is_contiguous():
            layouts.add(CONTIGUOUS)
        else:
            return None
    if len(layouts) != 1:
        return None
    return layouts.pop()


def _weights(module: Any) -> Iterator[torch.Tensor]:
    """Every tensor of four dimensions that the module holds, if it is one that tells of them."""
    import torch

    if not isinstance(module, torch.nn.Module):
        return
    tensors = list(module.parameters())
    if isinstance(module, torch.jit.ScriptModule):  # frozen, its weights are constants
        tensors += [node.t("value") for node in _constants(module.graph)]
    for tensor in tensors:
        if tensor.dim() == 4:
            yield tensor


def _constants(graph: Any) -> Iterator[Any]:
    for node in graph.findAllNodes("prim::Constant"):
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            yield node


def _telling(weight: torch.Tensor) -> bool:
    """Whether the two layouts of the weight differ."""
    import torch

    last = weight.is_contiguous(memory_format=torch.channels_last)
    return not (last and weight.is_contiguous())
