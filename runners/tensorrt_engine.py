"""What the TensorRT runners share: is there a GPU, does the engine fit it, and loading it.

The GPU is looked for before TensorRT is asked for anything: a Runtime of TensorRT 11 without one
ends the process.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, TypeVar

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.contracts import ProfiledSession, Runner, RunOptions, Session
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.hardware.devices import gpu_index

from .cuda_runtime import CudaDevice, open_cuda
from .tensorrt_session import Engine, EngineSession

S = TypeVar("S", bound=EngineSession)


class EngineRunner(Runner):
    """Runs engines of one kind of TensorRT. ``requires`` names its module alone."""

    devices: ClassVar[frozenset[str]] = frozenset({"cuda"})
    engine_only: ClassVar[bool] = True
    cell_options: ClassVar[frozenset[str]] = frozenset({"cuda_graph"})
    profiles_layers: ClassVar[bool] = True
    title: ClassVar[str]
    compiles_on_first_run: ClassVar[bool] = False
    """Whether kernels are compiled for the GPU at hand when the engine runs first: then that is
    done apart."""

    def check(self) -> str | None:
        open_cuda()
        return None

    def misfit(self, artifact: Artifact, device: str, batch: int) -> DeployBenchError | None:
        try:
            gpu = open_cuda().device(gpu_index(device))
        except DeployBenchError as error:
            return error
        rebuild = self.rebuild(artifact.manifest, gpu)
        return engine_misfit(artifact.manifest, gpu, batch, rebuild)

    @abstractmethod
    def rebuild(self, manifest: Manifest, device: CudaDevice) -> str:
        """The command that builds the engine for ``device``."""

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        return self._load(EngineSession, artifact, options)

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        from .tensorrt_layers import ProfiledEngineSession

        return self._load(ProfiledEngineSession, artifact, options)

    def _load(self, kind: Callable[..., S], artifact: Artifact, options: RunOptions) -> S:
        """A session of that kind over the engine of the artifact."""
        cuda, index = open_cuda(), gpu_index(options.device)
        cuda.use(index)
        misfit = self.misfit(artifact, options.device, options.batch)
        if misfit is not None:
            raise misfit
        trt = import_module(self.requires[0])
        self._check_version(artifact.manifest, str(trt.__version__), cuda.device(index))
        engine = self.load_engine(trt, artifact)
        return kind(cuda, engine, artifact, options, compiles=self.compiles_on_first_run)

    def load_engine(self, trt: ModuleType, artifact: Artifact) -> Engine:
        """The engine in the artifact's file.

        DeviceError with TensorRT's own words when it does not load.
        """
        log = logger_of(trt)
        runtime, plan = trt.Runtime(log), artifact.entry.read_bytes()
        self.check_plan(trt, runtime, plan, artifact)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise DeviceError(
                f"{self.title} did not load {artifact.entry.name}: {log.last_error()}"
            )
        context = self.new_context(trt, engine)
        if context is None:
            raise DeviceError(f"{self.title} made no execution context: {log.last_error()}")
        return Engine(trt, f"{self.title} {trt.__version__}", runtime, engine, context, log)

    def check_plan(self, trt: ModuleType, runtime: Any, plan: bytes, artifact: Artifact) -> None:
        """Raise DeployBenchError when the runtime tells beforehand that it cannot run the plan."""
        return

    def new_context(self, trt: ModuleType, engine: Any) -> Any:
        """An execution context, or None when there is no memory for its activations."""
        return engine.create_execution_context()

    def _check_version(self, manifest: Manifest, here: str, device: CudaDevice) -> None:
        built = manifest.facts.get("tensorrt", "of an unknown version")
        if built != here:
            raise DeployBenchError(
                f"the engine was built by {self.title} {built}, this host has {here}",
                expected="the version that built it: engines are not portable between versions",
                action=f"build it again: {self.rebuild(manifest, device)}",
            )


def engine_misfit(
    manifest: Manifest, device: CudaDevice, batch: int, rebuild: str
) -> DeployBenchError | None:
    """Why an engine cannot run on ``device`` at that batch size, or None.

    It is told by what the exporter wrote down.
    """
    facts = manifest.facts
    if facts.get("sm") != device.sm:
        built_for = f"sm{facts.get('sm', '?')}"
        if facts.get("gpu"):
            built_for += f" ({facts['gpu']})"
        return DeployBenchError(
            f"the engine was built for {built_for}, cuda:{device.index} is {device.name} "
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


@cache
def logger_of(trt: ModuleType) -> Any:
    """The logger of this process, which keeps errors.

    There is one, because TensorRT stays with the first that it was given.
    """

    base: Any = trt.ILogger

    class Logger(base):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (base.INTERNAL_ERROR, base.ERROR):
                self.errors.append(message.strip())

        def last_error(self) -> str:
            if not self.errors:
                return "it gave no reason"
            return self.errors[-1]

    return Logger()
