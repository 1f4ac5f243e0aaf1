"""Where PyTorch computes: what differs between the CPU and a GPU, so that one session serves both.

On a GPU a call from host to host copies its input through pinned memory, runs, copies the output
back and waits for that copy. A call on bound inputs waits for a CUDA event behind its last kernel,
and the time between that event and one before its first kernel is its GPU time: where the host
launches kernels slower than the GPU runs them, it holds the gaps.

fp16 and bf16 are those of the weights, which are cast when the model is loaded; autocast is not
used. tf32 is how fp32 products and convolutions are computed, and fp32 switches it off everywhere:
PyTorch's own defaults leave it on in convolutions. Unless a cell asks for a memory format,
convolutional modules (eager, torch.compile) in fp16, bf16 and tf32 are laid out on a GPU as
channels_last, the layout of the tensor cores; in fp32, and as exported programs, they stay as they
are.

cuDNN's convolution algorithms are searched by default (cudnn.benchmark): each one that can do the
work is timed when a shape is first met, before anything that is measured. ONNX Runtime does so by
itself.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from deploybench.contracts import RunOptions
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU, CUDA, TF32_VARIABLE, Device, gpu_index
from deploybench.hardware.precisions import FIRST_CAPABILITIES

from .torch_layout import CHANNELS_LAST, laid_out

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float32]
Timed = tuple[Callable[[], object], Callable[[], float] | None]

DEFAULT = "default"
FEWEST_CONVOLUTIONS = 2
"""One is a transformer's patch embedding."""
ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")
CUDNN_9 = 90000


class Place(ABC):
    """Where PyTorch computes; ``notes`` are what a row says about it."""

    name: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def move(self, module: torch.nn.Module) -> torch.nn.Module:
        """The module, there."""

    def laid_out(self, module: Any) -> Any:
        """The module in the layout that the cell asks for, and images laid out to match."""
        return module

    @abstractmethod
    def put(self, array: Array) -> torch.Tensor:
        """The array as a tensor that calls on bound inputs may keep."""

    @abstractmethod
    def send(self, array: Array) -> torch.Tensor:
        """The array as a tensor for one call."""

    @abstractmethod
    def fetch(self, outputs: Sequence[torch.Tensor]) -> list[Array]:
        """The outputs on the host, whole: good until the next call."""

    @abstractmethod
    def timed(self, call: Callable[[], object]) -> Timed:
        """``call`` so that it returns when its output exists, and a reader of its GPU time.

        The reader tells the time of the last run in ms; None where there is no GPU.
        """

    @abstractmethod
    def prepare_thread(self) -> None:
        """Make this device the calling thread's own."""

    @abstractmethod
    def arithmetic(self, precision: str) -> str:
        """What tensors of that precision are computed in."""

    def algorithms(self) -> tuple[str, ...]:
        """How the algorithms of convolutions are chosen; nothing where nobody chooses."""
        return ()

    @abstractmethod
    def described(self, provider: str) -> str:
        """The provider with the hardware and libraries below it."""

    @abstractmethod
    def peak_bytes(self) -> int | None:
        """The most that the allocator has held on the device; None where it has none of its own."""


class Cpu(Place):
    """The CPU: tensors and arrays share their memory, unless ``layout`` is channels_last."""

    name = CPU

    def __init__(self, layout: str = DEFAULT) -> None:
        self._layout = layout

    def move(self, module: torch.nn.Module) -> torch.nn.Module:
        moved: torch.nn.Module = self.laid_out(module)
        return moved

    def laid_out(self, module: Any) -> Any:
        if self._layout == DEFAULT:
            return module
        return laid_out(module, self._layout)

    def put(self, array: Array) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(array)
        if self._layout == CHANNELS_LAST:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def send(self, array: Array) -> torch.Tensor:
        return self.put(array)

    def fetch(self, outputs: Sequence[torch.Tensor]) -> list[Array]:
        return [output.numpy() for output in outputs]

    def timed(self, call: Callable[[], object]) -> Timed:
        return call, None

    def prepare_thread(self) -> None:
        return

    def arithmetic(self, precision: str) -> str:
        return precision

    def described(self, provider: str) -> str:
        return provider

    def peak_bytes(self) -> int | None:
        return None


class Cuda(Place):
    """One GPU, made this thread's own. Raises DeployBenchError where PyTorch cannot use it."""

    def __init__(self, options: RunOptions, torch: Any) -> None:
        check_cuda(torch, options.device)
        self._torch = torch
        self._index = gpu_index(options.device)
        self.name = f"{CUDA}:{self._index}"
        self.notes = ()
        if options.precision in ("fp16", "bf16"):
            self.notes = (f"{options.precision} weights, no autocast",)
        self._asked_layout = options.memory_format
        self._wants_channels_last = options.precision != "fp32"
        self._layout: Any = torch.contiguous_format
        self._staged: torch.Tensor | None = None
        self._landed: list[torch.Tensor] = []
        self.prepare_thread()
        set_tf32(torch, on=options.precision == "tf32")
        # ONNX Runtime's CUDA provider searches unless it is told not to: both sides do alike.
        torch.backends.cudnn.benchmark = options.convolutions == "searched"

    def prepare_thread(self) -> None:
        self._torch.cuda.set_device(self._index)

    def algorithms(self) -> tuple[str, ...]:
        """How cuDNN's algorithms are chosen, read back from PyTorch."""
        if self._torch.backends.cudnn.benchmark:
            return ("convolution algorithms searched (cudnn.benchmark)",)
        return ("convolution algorithms by cuDNN's heuristics",)

    def move(self, module: torch.nn.Module) -> torch.nn.Module:
        if self._asked_layout != DEFAULT:
            moved: torch.nn.Module = self.laid_out(module)
            return moved.to(self.name)
        if self._wants_channels_last and is_convolutional(module):
            self._layout = self._torch.channels_last
            self.notes = (*self.notes, "channels_last")
            module = module.to(memory_format=self._layout)
        return module.to(self.name)

    def laid_out(self, module: Any) -> Any:
        if self._asked_layout == DEFAULT:
            return module
        if self._asked_layout == CHANNELS_LAST:
            self._layout = self._torch.channels_last
        return laid_out(module, self._asked_layout)

    def put(self, array: Array) -> torch.Tensor:
        return self._moved(self._torch.from_numpy(array))

    def send(self, array: Array) -> torch.Tensor:
        if self._staged is None:
            self._staged = self._pinned(array.shape, self._torch.float32)
        self._staged.copy_(self._torch.from_numpy(array))
        return self._moved(self._staged)

    def fetch(self, outputs: Sequence[torch.Tensor]) -> list[Array]:
        if not self._landed:
            self._landed = [self._pinned(output.shape, output.dtype) for output in outputs]
        for landed, output in zip(self._landed, outputs, strict=True):
            landed.copy_(output, non_blocking=True)
        self._torch.cuda.current_stream().synchronize()
        return [landed.numpy() for landed in self._landed]

    def timed(self, call: Callable[[], object]) -> Timed:
        before = self._torch.cuda.Event(enable_timing=True)
        after = self._torch.cuda.Event(enable_timing=True)

        def run() -> None:
            before.record()
            call()
            after.record()
            after.synchronize()

        return run, lambda: float(before.elapsed_time(after))

    def arithmetic(self, precision: str) -> str:
        capability = self._torch.cuda.get_device_capability(self._index)
        able = capability >= FIRST_CAPABILITIES["tf32"]
        if precision == "fp32" and able and tf32_is_on(self._torch):
            return "tf32"
        return precision

    def described(self, provider: str) -> str:
        torch = self._torch
        library = "without cuDNN"
        version = torch.backends.cudnn.version()
        if version:
            library = f"cuDNN {cudnn_text(version)}"
        return f"{provider} on {torch.cuda.get_device_name(self._index)}, {library}"

    def peak_bytes(self) -> int | None:
        return int(self._torch.cuda.max_memory_reserved(self._index))

    def _moved(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor on the GPU, copied as it lies and laid out there.

        Nobody waits for a copy from pinned memory: what follows is queued behind it.
        """
        moved = tensor.to(self.name, non_blocking=tensor.is_pinned())
        return moved.contiguous(memory_format=self._layout)

    def _pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        pinned: torch.Tensor = self._torch.empty(tuple(shape), dtype=dtype, pin_memory=True)
        return pinned


def open_device(options: RunOptions) -> Place:
    """The device of the options."""
    if not Device.parse(options.device).is_gpu:
        return Cpu(options.memory_format)
    import torch

    return Cuda(options, torch)


def check_cuda(torch: Any, device: str) -> None:
    """Raise DeployBenchError unless PyTorch reaches the GPU and has code for it."""
    build = f"PyTorch {torch.__version__}"
    try:
        torch.cuda.init()
        capability = torch.cuda.get_device_capability(gpu_index(device))
    except (AssertionError, RuntimeError) as error:  # a build without CUDA asserts
        cause = type(error).__name__
        if str(error).strip():
            cause = str(error).strip().splitlines()[0]
        raise DeployBenchError(
            f"{build} cannot use {device}: {cause}",
            expected="a GPU that the driver and this build support",
        ) from None
    built_for = torch.cuda.get_arch_list()
    if not has_code_for(capability, built_for):
        raise DeployBenchError(
            f"{build} has no code for compute capability {capability[0]}.{capability[1]}, that of "
            f"{device}",
            expected=f"a GPU for one of {', '.join(built_for)}",
            action="install the last PyTorch that supports the card: deploybench profiles show "
            "NAME",
        )


def has_code_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether a build for ``architectures`` (``sm_86``, ``compute_90``) runs on that compute
    capability.

    Binaries (sm) run on their own major version from their minor version on; PTX (compute) is
    compiled by the driver for anything later (CUDA programming guide, "application compatibility").
    A letter behind the number (``sm_90a``) ties the code to that very version.
    """
    for text in architectures:
        matched = ARCHITECTURE.fullmatch(text)
        if matched is None:
            continue
        is_ptx = matched[1] == "compute"
        tied = matched[4]
        version = (int(matched[2]), int(matched[3]))
        if version == capability:
            return True
        runs_on_later = is_ptx or version[0] == capability[0]
        if version < capability and runs_on_later and not tied:
            return True
    return False


def is_convolutional(module: torch.nn.Module) -> bool:
    """Whether the module's layout matters to its speed.

    That is so where it has more convolutions than a patch embedding.
    """
    import torch

    convolutions = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)]
    return len(convolutions) >= FEWEST_CONVOLUTIONS


def set_tf32(torch: Any, *, on: bool) -> None:
    """Compute fp32 products and convolutions on a GPU as tf32, or none of them.

    The older switches set the newer ones (``fp32_precision``, since PyTorch 2.9) of every operator
    with them. The other way round it is not so: with those set alone, torch.export and
    TorchInductor of PyTorch 2.15 raise RuntimeError when they read the older ones. What the older
    ones leave out is cuDNN's default, which TorchInductor reads.
    """
    if hasattr(torch.backends.cudnn, "fp32_precision"):
        torch.backends.cudnn.fp32_precision = "tf32" if on else "ieee"
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


def tf32_is_on(torch: Any) -> bool:
    """Whether both products and convolutions may be computed as tf32.

    Read back from PyTorch, and from NVIDIA's variable that overrules it.
    """
    if os.environ.get(TF32_VARIABLE) == "0":
        return False
    if hasattr(torch.backends.cudnn, "fp32_precision"):
        parts = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)
        return all(part.fp32_precision == "tf32" for part in parts)
    return bool(torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32)


def cudnn_text(version: int) -> str:
    """9.10.2 from 91002, 8.5.0 from 8500 (cudnn_version.h)."""
    major = 1_000
    if version >= CUDNN_9:
        major = 10_000
    return f"{version // major}.{version % major // 100}.{version % 100}"
