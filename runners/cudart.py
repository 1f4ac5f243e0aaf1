"""libcudart as a library: where it is found, which functions are called, what its errors mean.

Neither torch nor a CUDA wrapper is needed.

Only calls that CUDA 11, 12 and 13 have in common, in one form, are made: no structure of CUDA's is
read but the name at the start of ``cudaDeviceProp``. Source: the CUDA Runtime API reference, and
``cuda_runtime_api.h`` and ``driver_types.h`` of 11.8 and 13.2.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from collections.abc import Callable, Iterator
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from pathlib import Path
from typing import Any

from deploybench.errors import DeviceError
from deploybench.provenance import DOUBLE_SYMBOL

SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0")
"""What is looked for, the newest first: in the loader's places, then in NVIDIA's wheels."""

OUT_OF_MEMORY, INSUFFICIENT_DRIVER, NO_DEVICE, INVALID_DEVICE = 2, 35, 100, 101
NEXT_STEPS = {
    OUT_OF_MEMORY: "take a smaller batch, or stop what else is on the GPU (nvidia-smi lists it)",
    3: "run nvidia-smi: when it fails too, reload the driver or restart the machine",
    46: "the GPU is in use in exclusive mode: stop the other process (nvidia-smi lists it)",
    NO_DEVICE: "run on a machine with an NVIDIA GPU; in a container, pass the GPU on (docker run "
    "--gpus all)",
    209: "the library holds no code for this GPU: install the stack that deploybench profiles show "
    "names",
    222: "the library is newer than the driver: update the driver, or install the stack of the "
    "profile",
    802: "start nvidia-fabricmanager, and wait until nvidia-smi shows the GPU",
    803: "restart the machine: the loaded driver and its library are of different versions",
}
OTHERWISE = (
    "look for the GPU's own report (dmesg, lines with Xid), and run again with "
    "CUDA_LAUNCH_BLOCKING=1"
)
RUNTIME_WHEELS = (
    "pip install nvidia-cuda-runtime (CUDA 13), nvidia-cuda-runtime-cu12 or "
    "nvidia-cuda-runtime-cu11"
)

Pointer, Size = c_void_p, c_size_t
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cudaDriverGetVersion": (Pointer,),
    "cudaRuntimeGetVersion": (Pointer,),
    "cudaGetLastError": (),
    "cudaGetDeviceCount": (Pointer,),
    "cudaGetDevice": (Pointer,),
    "cudaSetDevice": (c_int,),
    "cudaDeviceGetAttribute": (Pointer, c_int, c_int),
    "cudaGetDeviceProperties": (Pointer, c_int),
    "cudaMemGetInfo": (Pointer, Pointer),
    "cudaMalloc": (Pointer, Size),
    "cudaFree": (Pointer,),
    "cudaHostAlloc": (Pointer, Size, c_uint),
    "cudaFreeHost": (Pointer,),
    "cudaMemcpyAsync": (Pointer, Pointer, Size, c_int, Pointer),
    "cudaStreamCreateWithFlags": (Pointer, c_uint),
    "cudaStreamSynchronize": (Pointer,),
    "cudaStreamDestroy": (Pointer,),
    "cudaStreamBeginCapture": (Pointer, c_int),
    "cudaStreamEndCapture": (Pointer, Pointer),
    "cudaEventCreateWithFlags": (Pointer, c_uint),
    "cudaEventRecord": (Pointer, Pointer),
    "cudaEventSynchronize": (Pointer,),
    "cudaEventElapsedTime": (Pointer, Pointer, Pointer),
    "cudaEventDestroy": (Pointer,),
    "cudaGraphInstantiateWithFlags": (Pointer, Pointer, c_ulonglong),
    "cudaGraphLaunch": (Pointer, Pointer),
    "cudaGraphExecDestroy": (Pointer,),
    "cudaGraphDestroy": (Pointer,),
}


class Library:
    """One loaded libcudart.

    Its calls raise DeviceError with CUDA's own name and words for what went wrong.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._functions = {
            name: getattr(library, name) for name in SIGNATURES if hasattr(library, name)
        }
        for name, function in self._functions.items():
            function.argtypes = SIGNATURES[name]
        for name in ("cudaGetErrorName", "cudaGetErrorString"):
            getattr(library, name).restype = c_char_p
        self.simulated = hasattr(library, DOUBLE_SYMBOL)

    def call(self, name: str, *arguments: object) -> None:
        """Call the function of that name; DeviceError unless it succeeds."""
        function = self._functions.get(name)
        if function is None:
            raise DeviceError(
                f"libcudart of CUDA {self.runtime_version()} has no {name}", action="update CUDA"
            )
        code = function(*arguments)
        if code:
            raise self._error(name, code)

    def answer(self, name: str, kind: Callable[[], Any], *arguments: object) -> Any:
        """What a function writes to where its first argument points."""
        value = kind()
        self.call(name, byref(value), *arguments)
        return value.value

    def driver_version(self) -> str:
        """The newest CUDA that the driver supports, "12.4"; "0.0" where there is no driver."""
        return _version_text(self.answer("cudaDriverGetVersion", c_int))

    def runtime_version(self) -> str:
        """The CUDA that this library is of: "12.4"."""
        return _version_text(self.answer("cudaRuntimeGetVersion", c_int))

    def device_count(self) -> int:
        return int(self.answer("cudaGetDeviceCount", c_int))

    def release(self, name: str, handle: int) -> None:
        """Give a handle back. An error here is an earlier call's, which has been raised already."""
        self._functions[name](handle)

    def _error(self, function: str, code: int) -> DeviceError:
        self._functions["cudaGetLastError"]()  # so that nobody else takes it for theirs
        name = self._library.cudaGetErrorName(code).decode()
        description = self._library.cudaGetErrorString(code).decode()
        problem = f"{function}: {name}: {description}"
        if code == INSUFFICIENT_DRIVER:
            return self._insufficient_driver()
        if code == NO_DEVICE and "CUDA_VISIBLE_DEVICES" in os.environ:
            return DeviceError(
                f"{problem}; CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}'",
                action="unset CUDA_VISIBLE_DEVICES, or name a GPU that nvidia-smi -L lists",
            )
        if code == INVALID_DEVICE:
            expected = "cuda"
            count = self.device_count()
            if count > 1:
                expected = f"cuda:0 to cuda:{count - 1}"
            return DeviceError(problem, expected=expected, action="nvidia-smi -L lists the GPUs")
        return DeviceError(problem, action=NEXT_STEPS.get(code, OTHERWISE))

    def _insufficient_driver(self) -> DeviceError:
        """CUDA reports a missing driver as one that is too old: its version tells the two apart."""
        supported, needed = self.driver_version(), self.runtime_version()
        if supported == "0.0":
            action = (
                "run on a machine with an NVIDIA GPU and its driver; in a container, pass the "
                "GPU on (--gpus all)"
            )
            return DeviceError("no NVIDIA driver", action=action)
        return DeviceError(
            f"the NVIDIA driver is too old: it supports CUDA {supported}, libcudart is of CUDA "
            f"{needed}",
            expected=f"a driver for CUDA {needed} or later",
            action=f"update the driver, or install a CUDA runtime of {supported} or older: "
            f"{RUNTIME_WHEELS}",
        )


def libraries() -> Iterator[ctypes.CDLL]:
    """Every libcudart of this host that loads, the newest first."""
    for name in SONAMES:
        for path in (name, *_in_wheels(name)):
            try:
                yield ctypes.CDLL(path)
            except OSError:
                continue
            break


def _in_wheels(name: str) -> list[str]:
    """Where NVIDIA's wheels put a library: nvidia/cu13/lib, nvidia/cuda_runtime/lib."""
    spec = importlib.util.find_spec("nvidia")
    if spec is None:
        return []
    paths: list[Path] = []
    for folder in spec.submodule_search_locations or ():
        paths += sorted(Path(folder).glob(f"*/lib/{name}"))
    return [str(path) for path in paths]


def _version_text(number: int) -> str:
    """12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
