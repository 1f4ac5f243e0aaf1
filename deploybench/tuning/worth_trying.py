"""Which values of a cell's options are worth a try, by the option's name.

The options themselves are declared elsewhere (:class:`~deploybench.results.cell.CellOptions`), and
each runner says which of them it obeys. An option that is not in this table is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from deploybench.hardware.devices import CPU, CUDA

Value = bool | int | str


@dataclass(frozen=True)
class Trial:
    """The values beside the default, and the kinds of device on which they can matter."""

    values: tuple[Value, ...]
    devices: frozenset[str] = field(default_factory=lambda: frozenset({CPU, CUDA}))


ON_CPU = frozenset({CPU})
ON_GPU = frozenset({CUDA})
WORTH_TRYING: Mapping[str, Trial] = {
    "cuda_graph": Trial((True,), ON_GPU),
    # Threads of ONNX Runtime that wait by turning round are quick to begin, and take the cores
    # from whatever else runs; where the budget is all cores, either may be the faster one.
    "spinning": Trial(("on", "off"), ON_CPU),
    "arena": Trial(("off",), ON_CPU),
    "memory_format": Trial(("channels_last",)),
    # Of OpenVINO: streams of its own for many requests, or all threads for one.
    "openvino_hint": Trial(("throughput",), ON_CPU),
    # What ONNX Runtime fuses for this CPU (layouts of its own) is not always the faster.
    "graph_level": Trial(("extended",), ON_CPU),
    "allocator": Trial(("jemalloc", "tcmalloc", "mimalloc"), ON_CPU),
    "huge_pages": Trial(("on",), ON_CPU),
    "convolutions": Trial(("heuristic",), ON_GPU),
}
"""By the name of the field of ``CellOptions``."""

WORTH_WRITING: Mapping[str, tuple[Value, ...]] = {
    "simplify": ("onnxslim",),
    "fuse": ("transformer",),
    "reparameterise": (True,),
}
"""Which options of an export are worth one more artifact of a configuration that leads, by name; an
exporter that does not declare one is left alone."""
