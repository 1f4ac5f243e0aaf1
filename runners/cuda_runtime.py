"""CUDA's runtime API as objects: devices, memory, streams, events and graphs, over :mod:`.cudart`.

What CUDA holds is a :class:`Resource` that gives it back when it is closed.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from deploybench.errors import DeployBenchError, DeviceError

from . import cudart

# Constants of driver_types.h.
HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2
STREAM_NON_BLOCKING, CAPTURE_THREAD_LOCAL = 1, 1
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
PROPERTIES_BYTES = 1 << 14  # the largest cudaDeviceProp so far has about 1 KiB
NAME_BYTES = 256
MIB = 1 << 20

R = TypeVar("R", bound="Resource")


@dataclass(frozen=True)
class CudaDevice:
    """A CUDA device; ``sm`` is its compute capability without the point: 86 for 8.6."""

    index: int
    name: str
    sm: int


class Cuda(cudart.Library):
    """One loaded libcudart, and what it makes."""

    def device(self, index: int) -> CudaDevice:
        """The device ``cuda:index``; looking at it takes none of its memory."""
        major, minor = (
            self.answer("cudaDeviceGetAttribute", c_int, part, index)
            for part in (CAPABILITY_MAJOR, CAPABILITY_MINOR)
        )
        properties = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self.call("cudaGetDeviceProperties", properties, index)
        return CudaDevice(
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
        """CudaDevice memory."""
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
    for library in cudart.libraries():
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
        f"CUDA's runtime library is missing: no {' or '.join(cudart.SONAMES)}",
        action=cudart.RUNTIME_WHEELS,
    )
