"""The session: a model that is loaded, what it really uses, and its calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt

from deploybench.provenance import Provenance

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class SessionFacts:
    """What a loaded session really uses, which need not be what was asked for.

    It is read back from the runtime wherever that can tell, never from the options.

    ``threads`` are this session's own: with several streams, its share. ``device_bytes`` are the
    most that the runtime's allocator has held on the device so far; None where it does not tell.
    ``options`` are the options of the cell that the runtime tells, by the names of
    :class:`RunOptions`: one that is not what was asked for is a refusal. ``from_cache`` says
    whether the session found all that it would have compiled in a cache on disk; None where nothing
    is compiled, or the runtime does not tell.
    """

    precision: str
    threads: int
    provider: str
    device: str
    notes: Sequence[str] = ()
    device_bytes: int | None = None
    options: Mapping[str, bool | int | str] = field(default_factory=dict)
    from_cache: bool | None = None
    provenance: Provenance = "measured"
    """Simulated where a double stands in for the device's library, as in tests."""


@dataclass(frozen=True)
class Bound:
    """Calls of the engine alone, on inputs that already lie where it wants them.

    ``run`` returns when the outputs exist on the engine's side; nothing is copied or converted
    between host and engine in it. ``outputs`` copies what the last ``run`` left to float32 host
    arrays by output name. ``device_ms`` is the GPU time of the last ``run`` in ms, from CUDA event
    to CUDA event on its stream; None where there is no GPU, or no way to its stream.
    """

    run: Callable[[], object]
    outputs: Callable[[], Arrays]
    device_ms: Callable[[], float] | None = None


class Session(ABC):
    """A model that is loaded. Use as a context manager; one a stream.

    ``compile``, ``infer`` and ``bind`` check and call ``_compile``, ``_infer`` and ``_bind``, which
    a backend writes. Only ``_infer`` and ``facts`` have to be written.
    """

    def __init__(
        self,
        input_shapes: Mapping[str, tuple[int, ...]],
        input_dtypes: Mapping[str, str] | None = None,
    ) -> None:
        self.input_shapes = dict(input_shapes)
        """Of every call, by input name: (batch, channels, height, width), or with the channels last
        where an adopted file has them there."""
        self.input_dtypes = dict.fromkeys(input_shapes, "float32")
        """NumPy's names of the types of the inputs, by input name."""
        self.input_dtypes.update(input_dtypes or {})
        self.__compiled = False
        self.__checked: Arrays | None = None

    def compile(self) -> None:
        """Compile for the calls to come, where that can be told apart from loading. Does so once.

        ``infer`` and ``bind`` compile if that was not done before. To time compiling by itself,
        call this first.
        """
        if not self.__compiled:
            self._compile()
            self.__compiled = True

    def infer(self, inputs: Arrays) -> Arrays:
        """Run the model, from host to host: returns when the outputs are on the host.

        ``inputs`` are arrays of :attr:`input_shapes` and :attr:`input_dtypes` by input name
        (checked on their first use: ValueError names what differs), float32 unless an adopted file
        takes others; the outputs are float32 arrays by output name. They may be views into the
        session's memory, good until its next call.
        """
        if inputs is not self.__checked:
            self._prepare(inputs)
            self.__checked = inputs
        return self._infer(inputs)

    def bind(self, inputs: Arrays) -> Bound:
        """Put ``inputs`` where the engine wants them, and return calls that run on them.

        They are checked as for ``infer``, whose later calls do not change them. Raises
        NotImplementedError where the runner's ``engine_only`` is False.
        """
        self._prepare(inputs)
        return self._bind(inputs)

    def prepare_thread(self) -> None:
        """Called once in the thread that will run the session.

        That may be another than the one that loaded it.
        """
        return

    def _prepare(self, inputs: Arrays) -> None:
        given = {name: (tuple(array.shape), str(array.dtype)) for name, array in inputs.items()}
        expected = {
            name: (shape, self.input_dtypes[name]) for name, shape in self.input_shapes.items()
        }
        if given != expected:
            raise ValueError(f"the session got inputs {given}, it expects {expected}")
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
        if not hasattr(self, "input_shapes"):
            raise TypeError(
                f"{type(self).__name__}.__init__ does not call super().__init__(input_shapes); "
                "artifact.batch_shape(options.batch) gives the shapes"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
