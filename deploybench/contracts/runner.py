"""The runner: loads artifacts of the formats that it names; what a cell asks of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploybench.contracts.foreign import ForeignFile, ForeignTensor, ForeignWork
from deploybench.contracts.layers import ProfiledSession
from deploybench.contracts.plugin import Plugin
from deploybench.contracts.serving import Serving
from deploybench.contracts.session import Arrays, Session
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import kind_of
from deploybench.plurals import counted

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import Artifact


@dataclass(frozen=True)
class RunOptions:
    """What a cell asks of a runner. ``batch`` is the batch size of every call to come.

    ``threads`` is the core budget of the whole cell. ``streams`` sessions that run at the same time
    share it, ``threads_each`` a session; a remainder stays idle. DeployBenchError when they do not
    fit. ``cuda_graph`` asks for every call of the engine to be one launch of a graph that was
    captured before.

    The rest is what a runner may say that it obeys (:attr:`Runner.cell_options`), each at the
    value that it has when nobody asks: ``spinning`` (default, on, off) of idle threads; ``arena``
    (on, off) and ``graph_level`` (all, extended, basic, none) of ONNX Runtime; ``openvino_hint``
    (latency, throughput, none); ``memory_format`` (default, channels_last, contiguous) of PyTorch.
    ``convolutions`` says how cuDNN's algorithms are chosen on a GPU: ``searched`` (each is timed
    before the first call) or ``heuristic``. ``allocator``, ``huge_pages`` and ``stack`` (the
    interpreter) are seen to before the runner is loaded.
    """

    device: str
    threads: int
    precision: str
    batch: int
    streams: int = 1
    cuda_graph: bool = False
    spinning: str = "default"
    arena: str = "on"
    graph_level: str = "all"
    openvino_hint: str = "latency"
    memory_format: str = "default"
    allocator: str = "default"
    huge_pages: str = "default"
    convolutions: str = "searched"
    stack: str = "present"

    def __post_init__(self) -> None:
        if not 1 <= self.streams <= self.threads:
            raise DeployBenchError(
                f"{counted(self.streams, 'stream')} on {counted(self.threads, 'thread')}",
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


class Runner(Plugin):
    """Executes artifacts of the named formats. It never times, warms up, loops or prints."""

    formats: ClassVar[frozenset[str]]
    devices: ClassVar[frozenset[str]] = frozenset({"cpu"})
    engine_only: ClassVar[bool] = False
    """Whether its sessions can :meth:`Session.bind`."""
    cell_options: ClassVar[frozenset[str]] = frozenset()
    """The optional fields of :class:`RunOptions` that it obeys: ``{"cuda_graph"}``. It is never
    asked for another.

    What it cannot do after all is an error, never done silently in another way: a capture of a
    graph that fails is no plain launch.
    """
    reference: ClassVar[bool] = False
    """Whether it runs the model as its author wrote it: it comes first in a run, and the others are
    compared with it unless the user names another."""
    runs_code: ClassVar[bool] = True
    """Whether an artifact is a program to it: loading one can execute what the artifact holds or
    names. Such an artifact runs only where the user made it or said ``--trust``.

    False is for formats that are data to their runtime: a graph of known operators, and numbers.
    Pickles, native code, engines, names of Python modules and operators from libraries are not.
    """
    adopts: ClassVar[Mapping[str, str]] = {}
    """The formats of foreign files that it can look into (:meth:`look_into`), by suffix:
    ``{".onnx": "onnx"}``."""
    converts: ClassVar[frozenset[str]] = frozenset()
    """The formats of foreign files that it can turn into its own (:meth:`convert`)."""
    preload: ClassVar[tuple[str, ...]] = ()
    """Modules to import once for all launches that are not timed; empty: a process of its own for
    each."""
    environment: ClassVar[Mapping[str, str]] = {}
    """Variables with which its worker processes start, where a runtime reads them too early for
    :meth:`load` to set them."""
    profiles_layers: ClassVar[bool] = False
    """Whether it can :meth:`load_profiled`."""

    def options_on(self, device: str) -> frozenset[str]:
        """Those of its ``cell_options`` that it obeys on the device: all, unless it overrides this.

        How cuDNN chooses its algorithms is no question on the CPU, say.
        """
        return self.cell_options

    def check_device(self, device: str) -> str | None:
        """Why this runner cannot use ``device`` (``cpu``, ``cuda``, ``cuda:N``), or None.

        The question is about the runner: whether this host has the device is asked elsewhere. It is
        put before anything is planned; a runtime that was built without the device says so here.
        """
        if kind_of(device) in self.devices:
            return None
        return f"{self.name} runs on {', '.join(sorted(self.devices))}, not on {device}"

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        """The precisions that this runner can compute in, of an artifact written in that one."""
        return frozenset({artifact_precision})

    def precisions_on(self, device: str, artifact_precision: str) -> frozenset[str]:
        """The same for a runner whose precisions depend on the device.

        Unless a runner overrides it, that is :meth:`precisions`.
        """
        return self.precisions(artifact_precision)

    def default_precision(self, artifact_precision: str, device: str = "cpu") -> str:
        """The precision of a cell for which none is named.

        The artifact's own, or fp32 where this runner does not compute in that on the device.
        """
        if artifact_precision in self.precisions_on(device, artifact_precision):
            return artifact_precision
        return "fp32"

    def misfit(self, artifact: Artifact, device: str, batch: int) -> DeployBenchError | None:
        """Why this host cannot run that artifact on the device at that batch size, or None.

        It may be an engine for another GPU, say. Asked before a process is started, so it is quick
        and imports no runtime.
        """
        return None

    def look_into(self, file: Path) -> ForeignFile:
        """What a foreign file of one of the suffixes in :attr:`adopts` tells of itself.

        Where ``runs_code`` is True this may run what the file holds: it is called in a process of
        its own, and only with the user's word. Raises DeployBenchError for a file that does not
        read, or that no runtime can run by itself.
        """
        raise NotImplementedError(f"{self.name} adopts no files")

    def outputs_of(self, file: Path, example: Arrays) -> tuple[ForeignTensor, ...]:
        """The outputs of a foreign file, of which only a call tells them. ``example`` is fed."""
        return self.look_into(file).outputs

    def work_in(self, file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
        """The multiply-adds of a call on inputs of these shapes; None where they are not known."""
        return None

    def convert(
        self, file: Path, out: Path, *, inputs: Sequence[str], outputs: Sequence[str]
    ) -> Path:
        """Write the foreign file into the folder ``out`` in a format of :attr:`adopts`.

        ``inputs`` and ``outputs`` are the names of all of them in the file's order; the new file
        has them under the same names. Raises DeployBenchError for what it cannot convert.
        """
        raise NotImplementedError(f"{self.name} converts no files")

    @abstractmethod
    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        """One session. ``options.streams`` is 1."""

    def load_streams(self, artifact: Artifact, options: RunOptions) -> list[Session]:
        """``options.streams`` sessions that share ``options.threads``, each for its own thread.

        Here they are loaded apart, each with weights of its own. A runner whose runtime can share
        the weights overrides this.
        """
        return [self.load(artifact, options.for_one_stream) for _ in range(options.streams)]

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        """One session as :meth:`load` gives, with its runtime's profiler of layers.

        It computes with the same options, so that its layers are those of the calls that are
        measured elsewhere. Raises DeployBenchError where the runner has no profiler.
        """
        raise DeployBenchError(
            f"{self.name} has no profiler of layers",
            expected="a runner whose runtime tells what each layer takes",
            action="deploybench explain with another --runner: onnxruntime, openvino, pytorch",
        )

    def serving(self, artifact: Artifact, options: RunOptions) -> Serving:
        """How a program without this package opens the artifact as :meth:`load` does, and calls it.

        Raises DeployBenchError where it cannot: for a runner that was not taught, and for an
        artifact that takes more than its files.
        """
        raise DeployBenchError(
            f"{self.name} cannot tell how a program of its own would run its artifacts",
            expected="a runner that can: onnxruntime, openvino, torchscript, torch-export, "
            "aotinductor",
            action="export the model to one of their formats, and measure that",
        )
