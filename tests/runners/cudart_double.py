"""The double of libcudart, built by gcc, and a made-up TensorRT whose kernels run on it.

The made-up one has the names and classes of the real one: every object is an autospec of
tensorrt_lean's class, which refuses what TensorRT does not have. Its engine hands the input on as
the output, for as long as its kernels take.
"""

from __future__ import annotations

import ctypes
import math
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from ctypes import c_int64, c_size_t, c_void_p
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import create_autospec

import pytest

SOURCE = Path(__file__).with_name("libcudart_double.c")
INPUT, OUTPUT = "input", "logits"
UPLOAD_BYTES_PER_NS, DOWNLOAD_BYTES_PER_NS = 12, 6
LARGEST_BATCH = 8
ACTIVATION_BYTES = 3 << 20
PLAN = b"plan"
PARAMETER = re.compile(r", \w+: [\w.]+( = )?")


def build_double(folder: Path, name: str = "libcudart.so.13") -> Path:
    """Compile it into ``folder``; skips the test where there is no gcc."""
    if shutil.which("gcc") is None:
        pytest.skip("the double of libcudart is built by gcc")
    path = folder / name
    # PyTorch loads the real one for everybody: calls inside the double would end there
    own_symbols = "-Wl,-Bsymbolic"
    options = ["-shared", "-fPIC", own_symbols, "-Wall", "-Werror"]
    subprocess.run(["gcc", *options, "-o", str(path), str(SOURCE)], check=True)
    return path


class Double:
    """The double as a test sees it. Times are in ns of its virtual clock."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        library.deploybench_double_now.restype = c_int64
        library.deploybench_double_launch_cost.argtypes = (c_int64,)
        library.deploybench_double_kernel.argtypes = (
            c_void_p,
            c_void_p,
            c_void_p,
            c_size_t,
            c_int64,
        )
        library.cudaStreamSynchronize.argtypes = (c_void_p,)

    def now(self) -> int:
        return int(self.library.deploybench_double_now())

    def live(self) -> int:
        """How many allocations, streams, events and graphs were made and not given back."""
        return int(self.library.deploybench_double_live())

    def launches_cost(self, ns: int) -> None:
        self.library.deploybench_double_launch_cost(ns)

    def kernel(self, stream: int, target: int, source: int, size_bytes: int, ns: int) -> None:
        self.library.deploybench_double_kernel(stream, target, source, size_bytes, ns)

    def synchronize(self, stream: int) -> None:
        self.library.cudaStreamSynchronize(stream)


def strict(kind: type, **behaviour: Callable[..., Any]) -> Any:
    """An autospec of a TensorRT class whose methods do ``behaviour``.

    It refuses what the class does not have, and calls with another number of arguments than the
    class documents: native methods carry their signatures in their docstrings only.
    """
    made = create_autospec(kind, instance=True, spec_set=True)
    for name, behave in behaviour.items():
        getattr(made, name).side_effect = _counted(getattr(kind, name), name, behave)
    return made


def _counted(method: Any, name: str, behave: Callable[..., Any]) -> Callable[..., Any]:
    allowed: set[int] = set()
    for parameters in re.findall(rf"{name}\(self: [\w.]+(.*)\) ->", method.__doc__):
        defaults = [bool(default) for default in PARAMETER.findall(parameters)]
        allowed |= set(range(defaults.count(False), len(defaults) + 1))

    def call(*arguments: Any) -> Any:
        if len(arguments) not in allowed:
            raise TypeError(f"{name} takes {sorted(allowed)} arguments, it got {len(arguments)}")
        return behave(*arguments)

    return call


def made_up_tensorrt(
    double: Double,
    kernels_ns: Sequence[int],
    *,
    before_kernels: Callable[[int], bool] = lambda stream: True,
    version: str | None = None,
) -> ModuleType:
    """A ``tensorrt`` with one engine, the plan ``plan``.

    ``before_kernels`` may refuse to run it on a stream.
    """
    lean = pytest.importorskip("tensorrt_lean")
    module = ModuleType("made_up_tensorrt")
    module.__dict__.update(
        __version__=version or lean.__version__,
        ILogger=lean.ILogger,
        DataType=lean.DataType,
        TensorIOMode=lean.TensorIOMode,
        Runtime=lambda log: made_up_runtime(lean.Runtime, made_up_engine(context), log),
    )

    def context(*_: object) -> Any:
        shapes: dict[str, tuple[int, ...]] = {}
        addresses: dict[str, int] = {}

        def set_input_shape(name: str, shape: tuple[int, ...]) -> bool:
            shapes.update({INPUT: shape, OUTPUT: shape})
            return name == INPUT and shape[0] <= LARGEST_BATCH

        def set_tensor_address(name: str, address: int) -> bool:
            addresses[name] = address
            return name in (INPUT, OUTPUT)

        def execute_async_v3(stream: int) -> bool:
            if not before_kernels(stream):
                return False
            *others, last = kernels_ns
            for ns in others:
                double.kernel(stream, 0, 0, 0, ns)
            size_bytes = ctypes.sizeof(ctypes.c_float) * math.prod(shapes[INPUT])
            double.kernel(stream, addresses[OUTPUT], addresses[INPUT], size_bytes, last)
            return True

        return strict(
            lean.IExecutionContext,
            set_optimization_profile_async=lambda index, stream: index == 0,
            set_input_shape=set_input_shape,
            infer_shapes=lambda: [],
            get_tensor_shape=shapes.__getitem__,
            set_tensor_address=set_tensor_address,
            execute_async_v3=execute_async_v3,
        )

    return module


def made_up_engine(new_context: Callable[..., Any], **more: Callable[..., Any]) -> Any:
    """One input and one output, which are alike."""
    lean = pytest.importorskip("tensorrt_lean")
    modes = {INPUT: lean.TensorIOMode.INPUT, OUTPUT: lean.TensorIOMode.OUTPUT}
    engine = strict(
        lean.ICudaEngine,
        get_tensor_name=[INPUT, OUTPUT].__getitem__,
        get_tensor_mode=modes.__getitem__,
        get_tensor_dtype=lambda name: lean.DataType.FLOAT,
        create_execution_context=new_context,
        **more,
    )
    engine.num_io_tensors = len(modes)
    engine.device_memory_size_v2 = ACTIVATION_BYTES
    return engine


def made_up_runtime(kind: type, engine: Any, log: Any, **more: Callable[..., Any]) -> Any:
    """A runtime that loads the plan ``plan``, and says why it loads no other."""

    def deserialize(plan: bytes) -> Any:
        if plan == PLAN:
            return engine
        log.log(log.ERROR, "the plan does not begin with its magic number")
        return None

    return strict(kind, deserialize_cuda_engine=deserialize, **more)
