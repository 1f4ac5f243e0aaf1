"""Time by layer: what a runtime's own profiler says of the calls of a session."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploybench.contracts.session import Session

WRAPPER = "model"
"""Exporters get the user's model as the only part of a module, under this name; the names of its
own modules begin below it."""


@dataclass(frozen=True)
class Layer:
    """One step of a runtime: the same in every call.

    ``name`` and ``kind`` (its operator) are the runtime's own. ``modules`` are the modules of the
    PyTorch model that it computes, the one that gave it its name first; empty where neither the
    file nor the runtime tells. ``kernel`` is the code that ran and ``precision`` what it computes
    in (``fp32``, …), where the runtime says so.
    """

    name: str
    kind: str
    modules: tuple[str, ...] = ()
    kernel: str = ""
    precision: str = ""


@dataclass(frozen=True)
class LayerTimes:
    """What each of ``layers`` took in every call that was collected, in ms, in their order.

    ``note`` says what the profiler cannot tell.
    """

    layers: tuple[Layer, ...]
    calls_ms: tuple[tuple[float, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for times in self.calls_ms:
            if len(times) != len(self.layers):
                raise ValueError(f"times: {len(times)}, layers: {len(self.layers)}")


class ProfiledSession(Session):
    """A session whose runtime notes how long each layer takes.

    It is used like any other; the clock stays the harness's. Calls are made in :meth:`window`, each
    followed by :meth:`collect`; in the end :meth:`layer_times` is asked once.
    """

    @contextmanager
    def window(self) -> Iterator[None]:
        """Some calls follow each other. For a profiler that is switched on and off."""
        yield

    def collect(self) -> None:
        """Keep what the last call showed; what the others showed is left out. Not timed."""
        return

    @abstractmethod
    def layer_times(self) -> LayerTimes:
        """All that was collected. Nothing is called after it but :meth:`close`."""


def module_name(path: str) -> str | None:
    """The name of a module in the user's model, of its name among what was exported.

    Empty for the model itself; None for what stands around it.
    """
    if not path:
        return None
    if path == WRAPPER:
        return ""
    return path.removeprefix(f"{WRAPPER}.")


def unique(names: Iterable[str | None]) -> tuple[str, ...]:
    """Each name once, in their order."""
    return tuple(dict.fromkeys(name for name in names if name is not None))
