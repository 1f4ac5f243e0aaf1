"""A session over a loaded TensorRT engine: one execution context on a stream of its own.

Its buffers are allocated once.

A call from host to host copies the inputs into page-locked memory, uploads them, runs the engine,
downloads the outputs and waits. An engine-only call is the engine between two events: the time
between these is what trtexec calls GPU Compute Time; without a CUDA graph the gaps between the
launches of an idle GPU are in it. Waiting is CUDA's default: the thread spins where it has a core
to itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Arrays, Bound, RunOptions, Session, SessionFacts
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.hardware.devices import gpu_index
from deploybench.provenance import Provenance

from .cuda_runtime import Cuda, Graph, HostArray, Resource

Shapes = Mapping[str, tuple[int, ...]]
MIB = 1 << 20
KERNEL_CACHE_OFF = "CUDA_CACHE_DISABLE"
"""The driver keeps what it compiled on disk (CUDA programming guide, environment variables): the
first launch on a machine would compile, and every later one would find its kernels. It reads the
variable when it starts."""


@dataclass(frozen=True)
class Engine:
    """An engine that is loaded, with its context.

    ``runtime`` and ``log`` have to live as long as it does. ``note`` is what the runtime held
    against it beforehand; empty where it did not.
    """

    trt: ModuleType
    provider: str
    runtime: Any
    engine: Any
    context: Any
    log: Any
    note: str = ""


class Buffers:
    """One set of inputs and outputs in device memory, each with its page-locked twin, and the graph
    that uses them."""

    def __init__(self, cuda: Cuda, shapes: Shapes, keeper: ExitStack) -> None:
        self.host: dict[str, HostArray] = {}
        self.device: dict[str, Resource] = {}
        for name, shape in shapes.items():
            self.host[name] = keeper.enter_context(cuda.host_array(shape))
            self.device[name] = keeper.enter_context(cuda.allocate(self.host[name].array.nbytes))
        self.graph: Graph | None = None

    @property
    def size_bytes(self) -> int:
        return sum(twin.array.nbytes for twin in self.host.values())


class EngineSession(Session):
    """One execution context on a stream of its own. Its buffers are allocated once."""

    def __init__(
        self,
        cuda: Cuda,
        engine: Engine,
        artifact: Artifact,
        options: RunOptions,
        *,
        compiles: bool = False,
    ) -> None:
        super().__init__(artifact.batch_shape(options.batch), artifact.input_dtypes())
        self._cuda = cuda
        self._engine: Engine | None = engine
        self._options = options
        self._compiles = compiles
        self._precision = artifact.manifest.precision
        self._command = artifact.manifest.command
        self._named = [output.name for output in artifact.manifest.outputs]
        self._context = engine.context
        self._addressed: Buffers | None = None
        self._keeper = ExitStack()
        with ExitStack() as undo:
            undo.callback(self.close)
            self._stream = self._keeper.enter_context(cuda.stream())
            self._keeper.callback(self._forget_engine)
            self._outputs = self._set_shapes(engine)
            self._own = Buffers(cuda, {**self.input_shapes, **self._outputs}, self._keeper)
            undo.pop_all()

    def prepare_thread(self) -> None:
        """A thread begins on the first device."""
        self._cuda.use(gpu_index(self._options.device))

    def close(self) -> None:
        """Graphs and buffers first, then the context with its engine, the stream last."""
        self._keeper.close()

    def _compile(self) -> None:
        if self._compiles or self._options.cuda_graph:
            self._get_ready(self._own)

    def _infer(self, inputs: Arrays) -> Arrays:
        stream, buffers = self._stream, self._own
        for name, array in inputs.items():
            np.copyto(buffers.host[name].array, array)
            stream.upload(buffers.device[name], buffers.host[name])
        self._launch(buffers)
        for name in self._outputs:
            stream.download(buffers.host[name], buffers.device[name])
        stream.synchronize()
        return {name: buffers.host[name].array for name in self._outputs}

    def _bind(self, inputs: Arrays) -> Bound:
        """A set of buffers of its own, so that ``infer`` does not replace its inputs."""
        stream, keeper = self._stream, self._keeper
        buffers = Buffers(self._cuda, {**self.input_shapes, **self._outputs}, keeper)
        started = keeper.enter_context(self._cuda.event())
        ended = keeper.enter_context(self._cuda.event())
        for name, array in inputs.items():
            np.copyto(buffers.host[name].array, array)
            stream.upload(buffers.device[name], buffers.host[name])
        self._get_ready(buffers)

        def run() -> None:
            started.record(stream)
            self._launch(buffers)
            ended.record(stream)
            ended.synchronize()

        def outputs() -> Arrays:
            for name in self._outputs:
                stream.download(buffers.host[name], buffers.device[name])
            stream.synchronize()
            return {name: buffers.host[name].array.copy() for name in self._outputs}

        return Bound(run, outputs, lambda: started.ms_until(ended))

    def facts(self) -> SessionFacts:
        engine = self._loaded()
        current = self._cuda.current()
        gpu = self._cuda.device(current)
        buffers_mib = self._own.size_bytes / MIB
        activations_mib = activation_bytes(engine.engine) / MIB
        device = self._options.device  # as it was written, unless the thread is on another GPU
        if gpu_index(device) != current:
            device = f"cuda:{current}"
        provenance: Provenance = "measured"
        if self._cuda.simulated:
            provenance = "simulated"
        return SessionFacts(
            precision=self._precision,
            threads=self._options.threads,
            provider=engine.provider,
            device=device,
            notes=(
                f"{gpu.name} (sm{gpu.sm}); one CPU thread enqueues, and spins while it waits",
                f"inputs and outputs {buffers_mib:.1f} MiB, "
                f"activations {activations_mib:.1f} MiB on the GPU",
                *([kernel_cache()] if self._compiles else []),
                *([f"{engine.note}; it ran all the same"] if engine.note else []),
            ),
            provenance=provenance,
        )

    def _forget_engine(self) -> None:
        self._context = self._engine = None

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the session was closed")
        return self._engine

    def _set_shapes(self, engine: Engine) -> dict[str, tuple[int, ...]]:
        """Give the context the inputs' shapes; the shapes of the outputs that follow, by name."""
        trt, context = engine.trt, self._context
        inputs, outputs = io_names(trt, engine.engine)
        if set(outputs) == set(self._named):
            outputs = self._named  # the main one first
        if set(inputs) != set(self.input_shapes):
            expected = f"{', '.join(self.input_shapes)}, as the manifest says"
            raise DeployBenchError(f"the engine takes {', '.join(inputs)}", expected=expected)
        for name in (*inputs, *outputs):
            kind = engine.engine.get_tensor_dtype(name)
            if kind != trt.DataType.FLOAT:
                raise DeployBenchError(
                    f"'{name}' of the engine is {kind}", expected="float32 inputs and outputs"
                )
        self._demand(
            context.set_optimization_profile_async(0, self._stream.handle),
            "choose the optimisation profile",
        )
        for name, shape in self.input_shapes.items():
            self._demand(context.set_input_shape(name, shape), f"take '{name}' of shape {shape}")
        self._demand(not context.infer_shapes(), "tell the outputs' shapes from the inputs'")
        return {name: tuple(context.get_tensor_shape(name)) for name in outputs}

    def _get_ready(self, buffers: Buffers) -> None:
        """Run once, so that nothing is left to compile or to load.

        Then capture a graph, where that was asked for.
        """
        self._enqueue(buffers)
        self._stream.synchronize()
        if self._options.cuda_graph:
            self._check_capturable()
            graph = self._stream.capture(lambda: self._enqueue(buffers))
            buffers.graph = self._keeper.enter_context(graph)

    def _check_capturable(self) -> None:
        """Raise DeployBenchError where the engine allocates while it runs (TensorRT-RTX tells)."""
        capturable = getattr(self._context, "is_stream_capturable", None)
        if capturable is None or capturable(self._stream.handle):
            return
        raise DeployBenchError(
            "the engine allocates memory while it runs, which no CUDA graph can hold",
            expected="an engine that was built for graphs",
            action=f"{self._command} --option cuda_graph=true, or measure without --cuda-graph",
        )

    def _launch(self, buffers: Buffers) -> None:
        if buffers.graph is not None:
            buffers.graph.launch(self._stream)
        else:
            self._enqueue(buffers)

    def _enqueue(self, buffers: Buffers) -> None:
        context = self._context
        if self._addressed is not buffers:
            for name, memory in buffers.device.items():
                self._demand(
                    context.set_tensor_address(name, memory.handle), f"take the address of '{name}'"
                )
            self._addressed = buffers
        self._demand(context.execute_async_v3(self._stream.handle), "run the engine")

    def _demand(self, done: bool, what: str) -> None:
        """DeviceError with TensorRT's own words unless it did ``what``."""
        if not done:
            engine = self._loaded()
            raise DeviceError(f"{engine.provider} did not {what}: {engine.log.last_error()}")


def kernel_cache() -> str:
    """Whether the driver may have found kernels that an earlier launch compiled, in words."""
    if os.environ.get(KERNEL_CACHE_OFF) == "1":
        return "kernels compiled afresh, with the driver's cache off"
    return "kernels may come from the driver's cache, so that nothing was compiled"


def io_names(trt: ModuleType, engine: Any) -> tuple[list[str], list[str]]:
    """The names of an engine's inputs and of its outputs."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    return inputs, [name for name in names if name not in inputs]


def activation_bytes(engine: Any) -> int:
    """CudaDevice memory for the activations of one context: by TensorRT 10's name, or by 8's."""
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)
