"""The GPU place of the PyTorch runners with its tensors on the CPU: PyTorch's own calls, events
that count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import create_autospec

import torch

from deploybench.contracts import RunOptions
from deploybench.runners.torch_device import Cuda


class CudaOnTheCpu(Cuda):
    """``log`` holds what was recorded and waited for.

    Everything of torch.cuda is specified by the real module.
    """

    def __init__(self, options: RunOptions, capability: tuple[int, int] = (8, 6)) -> None:
        self.log: list[str] = []
        made: list[Any] = []
        cuda = create_autospec(torch.cuda)
        cuda.get_device_capability.return_value = capability
        cuda.get_arch_list.return_value = ["sm_37", "sm_61", "sm_86"]
        cuda.get_device_name.return_value = "Double"
        cuda.max_memory_reserved.return_value = 7
        cuda.current_stream.return_value.synchronize.side_effect = lambda: self.log.append(
            "stream waited for"
        )

        def event(**_: object) -> Any:
            number = len(made)
            one = create_autospec(torch.cuda.Event, instance=True)
            one.number = number
            one.record.side_effect = lambda: self.log.append(f"record {number}")
            one.synchronize.side_effect = lambda: self.log.append(f"wait {number}")
            one.elapsed_time.side_effect = lambda later: float(later.number - number)
            made.append(one)
            return one

        cuda.Event.side_effect = event
        super().__init__(options, _Torch(cuda))
        self.name = "cuda:0"

    def _moved(self, tensor: Any) -> Any:
        return tensor.clone()

    def _pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(tuple(shape), dtype=dtype)


class _Torch:
    """PyTorch with another ``torch.cuda``."""

    def __init__(self, cuda: Any) -> None:
        self.cuda = cuda

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)
