"""What the layers of an artifact take, by its runtime's profiler, beside the call without it."""

from __future__ import annotations

from deploybench.artifacts.parity import ParityReport
from deploybench.documents import Document
from deploybench.results.launch import Facts


class LayerFigures(Document):
    """One layer of a runtime, with the median, the lower and the upper quartile of its times.

    The other fields are those of :class:`deploybench.contracts.Layer`.
    """

    name: str
    kind: str
    modules: tuple[str, ...] = ()
    kernel: str = ""
    precision: str = ""
    ms: float
    low_ms: float
    high_ms: float


class LayerProfile(Document):
    """What the layers took, in ms.

    Windows of calls without the profiler and of calls with it took turns in one process: ``calls``
    of either kind in ``windows`` of either kind. Of each kind the faster half is looked at.
    ``layers_ms`` is the median over the calls of the sum over their layers; ``plain_ms`` and
    ``profiled_ms`` are the medians of what a call took as a whole, without the profiler and with
    it. ``gaps_ms`` are, window by window and of all calls, what a plain call took beyond the
    layers. ``refused`` or ``error`` say why there is nothing of all this.
    """

    facts: Facts | None = None
    parity: ParityReport | None = None
    refused: str | None = None
    error: str | None = None
    layers: tuple[LayerFigures, ...] = ()
    calls: int = 0
    windows: int = 0
    plain_ms: float = 0.0
    profiled_ms: float = 0.0
    layers_ms: float = 0.0
    gaps_ms: tuple[float, ...] = ()
    note: str = ""

    @property
    def failed(self) -> str | None:
        """Why there are no layers, in words; None where there are."""
        if self.refused or self.error:
            return self.refused or self.error
        if self.parity is not None and not self.parity.holds:
            return f"parity: {self.parity.reason}"
        return None

    @property
    def gap_ms(self) -> float:
        """What a call takes beyond its layers; negative where they take more."""
        return self.plain_ms - self.layers_ms
