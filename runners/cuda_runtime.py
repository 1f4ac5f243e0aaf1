"""CUDA's runtime API: the one module that calls libcudart, by ctypes.

Neither torch nor a CUDA wrapper is needed.

Only calls that CUDA 11, 12 and 13 have in common, in one form, are made: no structure of CUDA's is
read but the name at the start of ``cudaDeviceProp``. What CUDA holds is a :class:`Resource` that
gives it back when it is closed. Source: the CUDA Runtime API reference, and ``cuda_runtime_api.h``
and ``driver_types.h`` of 11.8 and 13.2.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
from collections.abc import Callable, Iterator
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from deploybench.errors import DeployBenchError, DeviceError
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

# Constants of driver_types.h.
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
STREAM_NON_BLOCKING, CAPTURE_THREAD_LOCAL = 1, 1
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
PROPERTIES_BYTES = 1 << 14  # the largest cudaDeviceProp so far has about 1 KiB
NAME_BYTES = 256
MIB = 1 << 20

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


R = TypeVar("R", bound="Resource")


@dataclass(frozen=True)
class Device:
    """A CUDA device; ``sm`` is its compute capability without the point: 86 for 8.6."""

    index: int
    name: str
    sm: int


class Cuda:
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

    def device(self, index: int) -> Device:
        """The device ``cuda:index``; looking at it takes none of its memory."""
        major, minor = (
            self.answer("cudaDeviceGetAttribute", c_int, part, index)
            for part in (CAPABILITY_MAJOR, CAPABILITY_MINOR)
        )
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self.call("cudaGetDeviceProperties", properties, index)
        return Device(
            index, properties.raw[:NAME_BYTES].split(b"\0")[0].decode(), 10 * major + minor
        )

    def use(self, index: int) -> None:
        """Make ``cuda:index`` the device of this thread, and create its context, which other
        libraries then share."""
        self.call("cudaSetDevice", index)
        self.call("cudaFree", None)

    def current(self) -> int:
        """The index of this thread's device."""
        return int(self.answer("cudaGetDevice", c_int))

    def memory(self) -> tuple[int, int]:
        """Bytes of this thread's device: free, and all."""
        free, total = c_size_t(), c_size_t()
        self.call("cudaMemGetInfo", byref(free), byref(total))
        return free.value, total.value

    def allocate(self, size_bytes: int) -> Resource:
        """Device memory."""
        try:
            address = self.answer("cudaMalloc", c_void_p, size_bytes)
        except DeviceError as error:
            free, total = self.memory()
            asked, left, whole = (f"{size / MIB:.1f}" for size in (size_bytes, free, total))
            found = f"{error.found}: asked for {asked} MiB, {left} of {whole} MiB are free"
            raise DeviceError(found, action=error.action) from None
        return Resource(self, address, "cudaFree")

    def host_array(self, shape: tuple[int, ...]) -> HostArray:
        """Page-locked host memory, which the GPU copies from and to by itself."""
        count = int(np.prod(shape))
        address = self.answer("cudaHostAlloc", c_void_p, count * np.dtype(np.float32).itemsize, 0)
        return HostArray(self, address, shape)

    def stream(self) -> Stream:
        """A stream of its own: it does not wait for the default one."""
        return Stream(
            self,
            self.answer("cudaStreamCreateWithFlags", c_void_p, STREAM_NON_BLOCKING),
            "cudaStreamDestroy",
        )

    def event(self) -> Event:
        return Event(self, self.answer("cudaEventCreateWithFlags", c_void_p, 0), "cudaEventDestroy")

    def release(self, name: str, handle: int) -> None:
        """Give a handle back. An error here is an earlier call's, which has been raised already."""
        self._functions[name](handle)

    def _error(self, function: str, code: int) -> DeviceError:
        self._functions["cudaGetLastError"]()  # so that nobody else takes it for theirs
        name, words = (
            getattr(self._library, ask)(code).decode()
            for ask in ("cudaGetErrorName", "cudaGetErrorString")
        )
        found = f"{function}: {name}: {words}"
        if code == INSUFFICIENT_DRIVER:
            return self._insufficient_driver()
        if code == NO_DEVICE and "CUDA_VISIBLE_DEVICES" in os.environ:
            return DeviceError(
                f"{found}; CUDA_VISIBLE_DEVICES is '{os.environ['CUDA_VISIBLE_DEVICES']}'",
                action="unset CUDA_VISIBLE_DEVICES, or name a GPU that nvidia-smi -L lists",
            )
        if code == INVALID_DEVICE:
            count = self.device_count()
            expected = f"cuda:0 to cuda:{count - 1}" if count > 1 else "cuda"
            return DeviceError(found, expected=expected, action="nvidia-smi -L lists the GPUs")
        return DeviceError(found, action=NEXT_STEPS.get(code, OTHERWISE))

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


class Resource:
    """Something that CUDA holds until it is closed.

    A context manager; closing twice does no harm.
    """

    def __init__(self, cuda: Cuda, handle: int, release: str) -> None:
        self._cuda = cuda
        self._handle: int | None = handle
        self._release = release

    @property
    def handle(self) -> int:
        """CUDA's pointer. RuntimeError when it was closed."""
        if self._handle is None:
            raise RuntimeError(f"{type(self).__name__} was closed")
        return self._handle

    def close(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            self._cuda.release(self._release, handle)

    def __enter__(self: R) -> R:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class HostArray(Resource):
    """A float32 ``array`` in page-locked memory, good until it is closed."""

    def __init__(self, cuda: Cuda, address: int, shape: tuple[int, ...]) -> None:
        super().__init__(cuda, address, "cudaFreeHost")
        floats = (c_float * int(np.prod(shape))).from_address(address)
        self.array: npt.NDArray[np.float32] = np.ctypeslib.as_array(floats).reshape(shape)


class Event(Resource):
    """A moment on the GPU's own clock."""

    def record(self, stream: Stream) -> None:
        """Let the moment be when ``stream`` comes to here."""
        self._cuda.call("cudaEventRecord", self.handle, stream.handle)

    def synchronize(self) -> None:
        """Wait until the moment has come."""
        self._cuda.call("cudaEventSynchronize", self.handle)

    def ms_until(self, later: Event) -> float:
        """Milliseconds from this moment to ``later``, which has come."""
        return float(self._cuda.answer("cudaEventElapsedTime", c_float, self.handle, later.handle))


class Graph(Resource):
    """Work that was captured once, launched by one call."""

    def launch(self, stream: Stream) -> None:
        self._cuda.call("cudaGraphLaunch", self.handle, stream.handle)


class Stream(Resource):
    """Work in order. The addresses given to it have to be good until it is synchronised."""

    def upload(self, target: Resource, source: HostArray) -> None:
        """Copy to the device."""
        self._copy(target.handle, source.handle, source.array.nbytes, HOST_TO_DEVICE)

    def download(self, target: HostArray, source: Resource) -> None:
        """Copy to the host."""
        self._copy(target.handle, source.handle, target.array.nbytes, DEVICE_TO_HOST)

    def synchronize(self) -> None:
        """Wait until all of its work is done."""
        self._cuda.call("cudaStreamSynchronize", self.handle)

    def capture(self, work: Callable[[], None]) -> Graph:
        """What ``work`` enqueues here, as a graph; nothing of it runs now.

        DeviceError when it cannot be captured.
        """
        self._cuda.call("cudaStreamBeginCapture", self.handle, CAPTURE_THREAD_LOCAL)
        try:
            work()
        except BaseException:
            with contextlib.suppress(DeviceError):
                self._captured().close()
            raise
        with self._captured() as template:
            handle = self._cuda.answer(
                "cudaGraphInstantiateWithFlags", c_void_p, template.handle, 0
            )
            return Graph(self._cuda, handle, "cudaGraphExecDestroy")

    def _captured(self) -> Resource:
        """End the capture."""
        graph = c_void_p()
        self._cuda.call("cudaStreamEndCapture", self.handle, byref(graph))
        return Resource(self._cuda, graph.value or 0, "cudaGraphDestroy")

    def _copy(self, target: int, source: int, size_bytes: int, kind: int) -> None:
        self._cuda.call("cudaMemcpyAsync", target, source, size_bytes, kind, self.handle)


@cache
def open_cuda() -> Cuda:
    """The newest libcudart here that works with the driver, with a device to work on.

    No context is created.

    DeployBenchError says why this host has none, and what to do about it.
    """
    problems: list[DeployBenchError] = []
    for library in _libraries():
        try:
            cuda = Cuda(library)
            cuda.device_count()
        except DeviceError as error:
            problems.append(error)
        else:
            return cuda
    if problems:
        raise problems[0]
    raise DeployBenchError(
        f"CUDA's runtime library is missing: no {' or '.join(SONAMES)}", action=RUNTIME_WHEELS
    )


def device_index(device: str) -> int:
    """The index in ``cuda`` or ``cuda:1``. DeployBenchError for another device."""
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index or "0").isdigit():
        raise DeployBenchError(f"the device '{device}'", expected="cuda, or cuda:0, cuda:1, …")
    return int(index or 0)


def _libraries() -> Iterator[ctypes.CDLL]:
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
    folders = spec.submodule_search_locations if spec is not None else None
    return [
        str(path) for folder in folders or () for path in sorted(Path(folder).glob(f"*/lib/{name}"))
    ]


def _version_text(number: int) -> str:
    """12040 is 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"
