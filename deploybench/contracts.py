"""What a backend plug-in is: the exporter, the runner and the session, and the data that they exchange.

A third party adds a backend by subclassing :class:`Exporter` and :class:`Runner` and naming the
classes in the entry-point groups ``deploybench.exporters`` and ``deploybench.runners``. A plug-in
module must import cheaply: it imports its runtime inside ``export`` and ``load`` only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import kind_of
from deploybench.provenance import Provenance

if TYPE_CHECKING:
    import torch

    from deploybench.artifacts.artifact import Artifact, Preprocessing

Arrays = Mapping[str, npt.NDArray[np.float32]]
HOST_TO_HOST, ENGINE_ONLY, END_TO_END = "host-to-host", "engine-only", "end-to-end"
TIMINGS = (HOST_TO_HOST, ENGINE_ONLY, END_TO_END)
"""What a sample times; ``deploybench.measure.calls`` says what is in each."""
INPUT_NAME = "input"
OUTPUT_NAME = "logits"


@dataclass(frozen=True)
class ExportSpec:
    """How an artifact is to be written. ``batch`` None means a dynamic batch dimension.

    ``opset`` and ``ir_version`` concern ONNX; None leaves the exporter's default. ``threads`` is
    the CPU budget that the export process may use. ``target`` is the GPU to write for (``sm86``), None
    the one at hand. ``preprocessing`` says what the model's images are, for an exporter that calibrates on some.
    """

    precision: str = "fp32"
    batch: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    threads: int = 1
    target: str | None = None
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class ExportedFiles:
    """What an exporter wrote: ``entry`` is the file that a runner opens, relative to the artifact.

    ``checked`` says what the exporter itself held against the reference, where the file may not run on its host.
    """

    entry: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    checked: str = ""


class Plugin(ABC):
    """What exporters and runners share: a name, and what a host needs to have for them to work."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Modules that must be importable."""
    install: ClassVar[str] = ""
    """What pip has to install for ``requires``, for example ``deploybench[onnx]``."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to the result: part of the artifact key and of every record."""
    oldest: ClassVar[Mapping[str, str]] = {}
    """The oldest versions that will do, by distribution, where older ones can be imported: ``{"torch": "2.6"}``."""

    def check(self) -> str | None:
        """Why the plug-in cannot work on this host although ``requires`` is met, or None.

        Raises DeployBenchError instead where there is something to do about it.
        """
        return None

    def identity(self) -> Mapping[str, str]:
        """What of this host, besides versions, decides what the plug-in writes: part of the artifact key."""
        return {}


class Exporter(Plugin):
    """Writes an artifact of one format; the format is the exporter's name."""

    precisions: ClassVar[frozenset[str]] = frozenset({"fp32"})
    by_default: ClassVar[bool] = True
    """False: it writes only what ``--backend`` names."""
    takes_target: ClassVar[bool] = False
    """Whether what it writes is for one kind of GPU, which ``--target`` names."""

    def check_target(self, target: str | None) -> None:
        """Raise DeployBenchError unless it can write here for that GPU (``sm86``); None is the one at hand, if any."""
        if target is not None:
            raise DeployBenchError(
                f"{self.name} artifacts are for no particular GPU, and --target asks for {target}",
                action=f"leave out --target, or --backend {self.name}",
            )

    def builds_for(self, target: str | None) -> bool:
        """Whether :meth:`check_target` finds nothing wrong with the target."""
        try:
            self.check_target(target)
        except DeployBenchError:
            return False
        return True

    @abstractmethod
    def export(self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path) -> ExportedFiles:
        """Write ``model`` into the folder ``out``.

        ``model`` is in eval mode and takes and returns float32 whatever ``spec.precision`` is;
        ``example`` is a float32 batch of shape (batch, channels, height, width). The input is to be
        called :data:`INPUT_NAME` and the output :data:`OUTPUT_NAME` where the format has names.
        """


@dataclass(frozen=True)
class RunOptions:
    """What a cell asks of a runner. ``batch`` is the batch size of every call to come.

    ``threads`` is the core budget of the whole cell. ``streams`` sessions that run at the same time
    share it, ``threads_each`` a session; a remainder stays idle. DeployBenchError when they do not fit.
    ``cuda_graph`` asks for every call of the engine to be one launch of a graph that was captured before.
    """

    device: str
    threads: int
    precision: str
    batch: int
    streams: int = 1
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.streams <= self.threads:
            raise DeployBenchError(
                f"{self.streams} streams on {self.threads} threads",
                expected="at least one stream, and at least one thread for each",
                action="ask for fewer streams or more threads",
            )

    @property
    def threads_each(self) -> int:
        """The threads of one session."""
        return self.threads // self.streams

    @property
    def for_one_stream(self) -> RunOptions:
        """What one of the streams is alone."""
        return replace(self, threads=self.threads_each, streams=1)


@dataclass(frozen=True)
class SessionFacts:
    """What a loaded session really uses: read back from the runtime wherever it can tell, never from the options.

    ``threads`` are this session's own: with several streams, its share. ``device_bytes`` are the most that the
    runtime's allocator has held on the device so far; None where it does not tell.
    """

    precision: str
    threads: int
    provider: str
    device: str
    notes: Sequence[str] = ()
    device_bytes: int | None = None
    provenance: Provenance = "measured"
    """Simulated where a double stands in for the device's library, as in tests."""


@dataclass(frozen=True)
class Bound:
    """Calls of the engine alone, on inputs that already lie where it wants them.

    ``run`` returns when the outputs exist on the engine's side; nothing is copied or converted between
    host and engine in it. ``outputs`` copies what the last ``run`` left to float32 host arrays by output name.
    ``device_ms`` is the GPU time of the last ``run`` in ms, from CUDA event to CUDA event on its stream; None where
    there is no GPU, or no way to its stream.
    """

    run: Callable[[], object]
    outputs: Callable[[], Arrays]
    device_ms: Callable[[], float] | None = None


class Session(ABC):
    """A model that is loaded. Use as a context manager; one a stream.

    ``compile``, ``infer`` and ``bind`` check and call ``_compile``, ``_infer`` and ``_bind``, which a backend
    writes. Only ``_infer`` and ``facts`` have to be written.
    """

    def __init__(self, input_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.input_shapes = dict(input_shapes)
        """Of every call, by input name: (batch, channels, height, width)."""
        self.__compiled = False
        self.__checked: Arrays | None = None

    def compile(self) -> None:
        """Compile for the calls to come, where that can be told apart from loading. Does so once.

        ``infer`` and ``bind`` do it when nobody has: who times it apart calls it first.
        """
        if not self.__compiled:
            self._compile()
            self.__compiled = True

    def infer(self, inputs: Arrays) -> Arrays:
        """Run the model, from host to host: returns when the outputs are on the host.

        ``inputs`` are float32 arrays of :attr:`input_shapes` by input name (checked on their first use:
        ValueError names what differs); the outputs are float32 arrays by output name. They may be views
        into the session's memory, good until its next call.
        """
        if inputs is not self.__checked:
            self._prepare(inputs)
            self.__checked = inputs
        return self._infer(inputs)

    def bind(self, inputs: Arrays) -> Bound:
        """Put ``inputs``, checked as for ``infer``, where the engine wants them; later calls of ``infer`` leave them.

        NotImplementedError where the runner's ``engine_only`` is False.
        """
        self._prepare(inputs)
        return self._bind(inputs)

    def prepare_thread(self) -> None:
        """Called once in the thread that will run the session, where that is not the one that loaded it."""
        return

    def _prepare(self, inputs: Arrays) -> None:
        found = {name: (tuple(array.shape), str(array.dtype)) for name, array in inputs.items()}
        expected = {name: (shape, "float32") for name, shape in self.input_shapes.items()}
        if found != expected:
            raise ValueError(f"the session got inputs {found}, it expects {expected}")
        self.compile()

    def _compile(self) -> None:
        return

    @abstractmethod
    def _infer(self, inputs: Arrays) -> Arrays: ...

    def _bind(self, inputs: Arrays) -> Bound:
        raise NotImplementedError(f"{type(self).__name__} has no calls on bound inputs")

    @abstractmethod
    def facts(self) -> SessionFacts:
        """Called when the session is compiled and has run once, in the thread that runs it."""

    def close(self) -> None:
        """Release what the runtime holds."""
        return

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Runner(Plugin):
    """Executes artifacts of the named formats. It never times, warms up, loops or prints."""

    formats: ClassVar[frozenset[str]]
    devices: ClassVar[frozenset[str]] = frozenset({"cpu"})
    engine_only: ClassVar[bool] = False
    """Whether its sessions can :meth:`Session.bind`."""
    cuda_graphs: ClassVar[bool] = False
    """Whether it can be asked for ``RunOptions.cuda_graph``. A capture that fails is an error, never a plain launch."""

    def check_device(self, device: str) -> str | None:
        """Why this runner cannot use ``device`` (``cpu``, ``cuda``, ``cuda:N``), were it there; None when it can.

        Asked before anything is planned on the device; a runtime that was built without it says so here.
        """
        if kind_of(device) in self.devices:
            return None
        return f"{self.name} runs on {', '.join(sorted(self.devices))}, not on {device}"

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        """The precisions that this runner can be asked for on an artifact written in that precision."""
        return frozenset({artifact_precision})

    def precisions_on(self, device: str, artifact_precision: str) -> frozenset[str]:
        """The same for a runner whose precisions depend on the device; :meth:`precisions` unless it is written."""
        return self.precisions(artifact_precision)

    def default_precision(self, artifact_precision: str, device: str = "cpu") -> str:
        """The artifact's own precision, or fp32 where this runner computes such an artifact in fp32 on this machine."""
        return artifact_precision if artifact_precision in self.precisions_on(device, artifact_precision) else "fp32"

    def misfit(self, artifact: Artifact, device: str, batch: int) -> DeployBenchError | None:
        """Why this host cannot run an artifact of the runner's formats so, or None: an engine for another GPU, say.

        Asked before a process is started, so it is quick and imports no runtime.
        """
        return None

    @abstractmethod
    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        """One session. ``options.streams`` is 1."""

    def load_streams(self, artifact: Artifact, options: RunOptions) -> list[Session]:
        """``options.streams`` sessions, each to be run by a thread of its own, that share ``options.threads``.

        Here they are loaded apart, each with weights of its own; a runtime that can share them does so.
        """
        return [self.load(artifact, options.for_one_stream) for _ in range(options.streams)]
