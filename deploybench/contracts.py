"""What a backend plug-in is: the exporter, the runner and the session, and the data that they exchange.

A third party adds a backend by subclassing :class:`Exporter` and :class:`Runner` and naming the
classes in the entry-point groups ``deploybench.exporters`` and ``deploybench.runners``. A plug-in
module must import cheaply: it imports its runtime inside ``export`` and ``load`` only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

    from deploybench.artifact import Artifact

Arrays = Mapping[str, npt.NDArray[np.float32]]

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
INPUT_NAME = "input"
OUTPUT_NAME = "logits"


@dataclass(frozen=True)
class ExportSpec:
    """How an artifact is to be written. ``batch`` None means a dynamic batch dimension.

    ``opset`` and ``ir_version`` concern ONNX; None leaves the exporter's default. ``threads`` is
    the CPU budget that the export process may use.
    """

    precision: str = "fp32"
    batch: int | None = None
    opset: int | None = None
    ir_version: int | None = None
    threads: int = 1


@dataclass(frozen=True)
class ExportedFiles:
    """What an exporter wrote: ``entry`` is the file that a runner opens, relative to the artifact."""

    entry: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


class Plugin(ABC):
    """What exporters and runners share: a name, and what a host needs to have for them to work."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Modules that must be importable."""
    install: ClassVar[str] = ""
    """What pip has to install for ``requires``, for example ``deploybench[onnx]``."""
    distributions: ClassVar[tuple[str, ...]] = ()
    """Distributions whose versions belong to the result: part of the artifact key and of every record."""

    def check(self) -> str | None:
        """Why the plug-in cannot work on this host although ``requires`` is met, or None."""
        return None

    def identity(self) -> Mapping[str, str]:
        """What of this host, besides versions, decides what the plug-in writes: part of the artifact key."""
        return {}


class Exporter(Plugin):
    """Writes an artifact of one format; the format is the exporter's name."""

    precisions: ClassVar[frozenset[str]] = frozenset({"fp32"})

    @abstractmethod
    def export(self, model: torch.nn.Module, example: torch.Tensor, spec: ExportSpec, out: Path) -> ExportedFiles:
        """Write ``model`` into the folder ``out``.

        ``model`` is in eval mode and takes and returns float32 whatever ``spec.precision`` is;
        ``example`` is a float32 batch of shape (batch, channels, height, width). The input is to be
        called :data:`INPUT_NAME` and the output :data:`OUTPUT_NAME` where the format has names.
        """


@dataclass(frozen=True)
class RunOptions:
    """What a cell asks of a runner. ``batch`` is the batch size of every call to come."""

    device: str
    threads: int
    precision: str
    batch: int


@dataclass(frozen=True)
class SessionFacts:
    """What a loaded session really uses: read back from the runtime wherever it can tell, never from the options."""

    precision: str
    threads: int
    provider: str
    device: str
    notes: Sequence[str] = ()


class Session(ABC):
    """A model that is loaded and ready. Use as a context manager; one a launch.

    ``infer`` takes float32 host arrays of shape (batch, channels, height, width) by input name and
    returns float32 host arrays by output name. It returns when the outputs are on the host.
    """

    def __init__(self, expected_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._expected_shapes = dict(expected_shapes)
        self._checked: Arrays | None = None

    def infer(self, inputs: Arrays) -> Arrays:
        """Check ``inputs`` on their first use (ValueError names what differs), then run the model."""
        if inputs is not self._checked:
            self._check(inputs)
            self._checked = inputs
        return self._infer(inputs)

    def _check(self, inputs: Arrays) -> None:
        found = {name: (tuple(array.shape), str(array.dtype)) for name, array in inputs.items()}
        expected = {name: (shape, "float32") for name, shape in self._expected_shapes.items()}
        if found != expected:
            raise ValueError(f"the session got inputs {found}, it expects {expected}")

    @abstractmethod
    def _infer(self, inputs: Arrays) -> Arrays: ...

    @abstractmethod
    def facts(self) -> SessionFacts: ...

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

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        """The precisions that this runner can be asked for on an artifact written in that precision."""
        return frozenset({artifact_precision})

    def default_precision(self, artifact_precision: str) -> str:
        """The artifact's own precision, or fp32 where this runner computes such an artifact in fp32 on this machine."""
        return artifact_precision if artifact_precision in self.precisions(artifact_precision) else "fp32"

    @abstractmethod
    def load(self, artifact: Artifact, options: RunOptions) -> Session: ...
