"""What the TensorRT runners share: is there a GPU, does the engine fit it, and a session over the loaded engine.

A call from host to host copies the inputs into page-locked memory, uploads them, runs the engine, downloads the
outputs and waits. An engine-only call is the engine between two events: the time between these is what trtexec calls
GPU Compute Time; without a CUDA graph the gaps between the launches of an idle GPU are in it. Waiting is CUDA's
default: the thread spins where it has a core to itself. The GPU is looked for before TensorRT is asked for anything:
a Runtime of TensorRT 11 without one ends the process.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from deploybench.artifact import Artifact, Manifest
from deploybench.contracts import Arrays, Bound, Runner, RunOptions, Session, SessionFacts
from deploybench.errors import DeployBenchError, DeviceError

from .cuda_runtime import Cuda, Device, Graph, HostArray, Resource, device_index, open_cuda

Shapes = Mapping[str, tuple[int, ...]]
MIB = 1 << 20


def first_importable(*modules: str) -> str:
    """The first of these modules that is installed, else the first."""
    return next((name for name in modules if find_spec(name) is not None), modules[0])


class EngineRunner(Runner):
    """Runs engines of one kind of TensorRT. ``requires`` names its module alone."""

    devices: ClassVar[frozenset[str]] = frozenset({"cuda"})
    engine_only: ClassVar[bool] = True
    cuda_graphs: ClassVar[bool] = True
    title: ClassVar[str]
    compiles_on_first_run: ClassVar[bool] = False
    """Whether kernels are compiled for the GPU at hand when the engine runs first: then that is done apart."""

    def check(self) -> str | None:
        open_cuda()
        return None

    def misfit(self, artifact: Artifact, device: str, batch: int) -> DeployBenchError | None:
        try:
            found = open_cuda().device(device_index(device))
        except DeployBenchError as error:
            return error
        return engine_misfit(artifact.manifest, found, batch, self.rebuild(artifact.manifest, found))

    @abstractmethod
    def rebuild(self, manifest: Manifest, device: Device) -> str:
        """The command that builds the engine for ``device``."""

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        cuda, index = open_cuda(), device_index(options.device)
        cuda.use(index)
        misfit = self.misfit(artifact, options.device, options.batch)
        if misfit is not None:
            raise misfit
        trt = import_module(self.requires[0])
        self._check_version(artifact.manifest, str(trt.__version__), cuda.device(index))
        engine = self.load_engine(trt, artifact)
        return EngineSession(cuda, engine, artifact, options, compiles=self.compiles_on_first_run)

    def load_engine(self, trt: ModuleType, artifact: Artifact) -> Engine:
        """The engine in the artifact's file. DeviceError with TensorRT's own words when it does not load."""
        log = logger_of(trt)
        runtime, plan = trt.Runtime(log), artifact.entry.read_bytes()
        self.check_plan(trt, runtime, plan, artifact)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceError(f"{self.title} did not load {artifact.entry.name}: {log.last_error()}")
        context = self.new_context(trt, engine)
        if context is None:
            raise DeviceError(f"{self.title} made no execution context: {log.last_error()}")
        return Engine(trt, f"{self.title} {trt.__version__}", runtime, engine, context, log)

    def check_plan(self, trt: ModuleType, runtime: Any, plan: bytes, artifact: Artifact) -> None:
        """Raise DeployBenchError when the runtime can tell before it loads that it will not run the plan."""
        return

    def new_context(self, trt: ModuleType, engine: Any) -> Any:
        """An execution context, or None when there is no memory for its activations."""
        return engine.create_execution_context()

    def _check_version(self, manifest: Manifest, here: str, device: Device) -> None:
        built = manifest.facts.get("tensorrt", "of an unknown version")
        if built != here:
            raise DeployBenchError(
                f"the engine was built by {self.title} {built}, this host has {here}",
                expected="the version that built it: engines are not portable between versions",
                action=f"build it again: {self.rebuild(manifest, device)}",
            )


@dataclass(frozen=True)
class Engine:
    """An engine that is loaded, with its context. ``runtime`` and ``log`` have to live as long as it does."""

    trt: ModuleType
    provider: str
    runtime: Any
    engine: Any
    context: Any
    log: Any


class Buffers:
    """One set of inputs and outputs in device memory, each with its page-locked twin, and the graph that uses them."""

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
        self, cuda: Cuda, engine: Engine, artifact: Artifact, options: RunOptions, *, compiles: bool = False
    ) -> None:
        super().__init__(artifact.batch_shape(options.batch))
        self._cuda = cuda
        self._engine: Engine | None = engine
        self._options = options
        self._compiles = compiles
        self._precision = artifact.manifest.precision
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
        self._cuda.use(device_index(self._options.device))

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
        started, ended = keeper.enter_context(self._cuda.event()), keeper.enter_context(self._cuda.event())
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
        engine, asked, current = self._loaded(), self._options.device, self._cuda.current()
        device = self._cuda.device(current)
        own, activations = self._own.size_bytes / MIB, activation_bytes(engine.engine) / MIB
        return SessionFacts(
            precision=self._precision,
            threads=self._options.threads,
            provider=engine.provider,
            device=asked if device_index(asked) == current else f"cuda:{current}",
            notes=(
                f"{device.name} (sm{device.sm}); one CPU thread enqueues, and spins while it waits",
                f"inputs and outputs {own:.1f} MiB, activations {activations:.1f} MiB on the GPU",
            ),
            provenance="simulated" if self._cuda.simulated else "measured",
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
        if set(inputs) != set(self.input_shapes):
            expected = f"{', '.join(self.input_shapes)}, as the manifest says"
            raise DeployBenchError(f"the engine takes {', '.join(inputs)}", expected=expected)
        for name in (*inputs, *outputs):
            kind = engine.engine.get_tensor_dtype(name)
            if kind != trt.DataType.FLOAT:
                raise DeployBenchError(f"'{name}' of the engine is {kind}", expected="float32 inputs and outputs")
        self._demand(context.set_optimization_profile_async(0, self._stream.handle), "choose the optimisation profile")
        for name, shape in self.input_shapes.items():
            self._demand(context.set_input_shape(name, shape), f"take '{name}' of shape {shape}")
        self._demand(not context.infer_shapes(), "tell the outputs' shapes from the inputs'")
        return {name: tuple(context.get_tensor_shape(name)) for name in outputs}

    def _get_ready(self, buffers: Buffers) -> None:
        """Run once, so that nothing is left to compile or to load, and capture where that was asked for."""
        self._enqueue(buffers)
        self._stream.synchronize()
        if self._options.cuda_graph:
            buffers.graph = self._keeper.enter_context(self._stream.capture(lambda: self._enqueue(buffers)))

    def _launch(self, buffers: Buffers) -> None:
        if buffers.graph is not None:
            buffers.graph.launch(self._stream)
        else:
            self._enqueue(buffers)

    def _enqueue(self, buffers: Buffers) -> None:
        context = self._context
        if self._addressed is not buffers:
            for name, memory in buffers.device.items():
                self._demand(context.set_tensor_address(name, memory.handle), f"take the address of '{name}'")
            self._addressed = buffers
        self._demand(context.execute_async_v3(self._stream.handle), "run the engine")

    def _demand(self, done: bool, what: str) -> None:
        """DeviceError with TensorRT's own words unless it did ``what``."""
        if not done:
            engine = self._loaded()
            raise DeviceError(f"{engine.provider} did not {what}: {engine.log.last_error()}")


def engine_misfit(manifest: Manifest, device: Device, batch: int, rebuild: str) -> DeployBenchError | None:
    """Why an engine cannot run on ``device`` in that batch, by what its exporter wrote down, or None."""
    facts = manifest.facts
    if facts.get("sm") != device.sm:
        built_on = f" ({facts['gpu']})" if facts.get("gpu") else ""
        return DeployBenchError(
            f"the engine was built for sm{facts.get('sm', '?')}{built_on}, cuda:{device.index} is {device.name} "
            f"(sm{device.sm})",
            expected=f"an engine for sm{device.sm}",
            action=f"build it for this GPU: {rebuild}",
        )
    least, most = int(facts.get("batch_min", batch)), int(facts.get("batch_max", batch))
    if not least <= batch <= most:
        return DeployBenchError(
            f"the engine was built for batches of {least} to {most}, not {batch}",
            expected=f"a batch size from {least} to {most}",
            action=f"build one for it: {rebuild} --batch {batch}",
        )
    return None


def io_names(trt: ModuleType, engine: Any) -> tuple[list[str], list[str]]:
    """The names of an engine's inputs and of its outputs."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    return inputs, [name for name in names if name not in inputs]


def activation_bytes(engine: Any) -> int:
    """Device memory for the activations of one context: by TensorRT 10's name, or by 8's."""
    size = engine.device_memory_size_v2 if hasattr(engine, "device_memory_size_v2") else engine.device_memory_size
    return int(size)


@cache
def logger_of(trt: ModuleType) -> Any:
    """The logger of this process, which keeps errors: TensorRT stays with the first one that it was given."""

    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.INTERNAL_ERROR, base.ERROR):
                self.errors.append(message.strip())

        def last_error(self) -> str:
            return self.errors[-1] if self.errors else "it gave no reason"

    return Logger()
