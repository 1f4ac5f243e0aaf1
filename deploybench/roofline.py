"""The least time that a model can take on a piece of hardware: the roofline (Williams, Waterman & Patterson 2009).

Arithmetic takes 2 x MACs / peak of that precision; memory takes the bytes that have to move / bandwidth. The bound is
the larger of the two. What has to move is counted so that the bound holds for every implementation: the weights, the
input and the output once a call, less what the caches may keep from one call to the next. Activations between layers
need not move, because a fused implementation keeps them on the chip. Where they do move is the second figure, the
*unfused* time: the same with what every product and convolution reads and writes (``layer_values``) in memory, and
nothing kept. It is no bound: a runtime below it has fused or cached something, one above it has room for that.

A bound is computed, never measured, and holds as far as its assumptions: the clock that the peaks are stated for
(boost for the GPUs, base for the Xeon) and every multiply-add done (Winograd's convolutions do fewer). The roof of this
host is what :mod:`deploybench.peaks` measured on it, so that a call may come out a little below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from deploybench.artifact import Manifest
from deploybench.devices import CPU, gpu_of, kind_of
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.host import Host
from deploybench.profile import HOST, Profile, profile_of

if TYPE_CHECKING:
    from deploybench.peaks import MeasuredPeaks

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of one stored number; tf32 is how fp32 is multiplied."""
LAYER_VALUES = "layer_values"
"""The manifest's fact: numbers that the products and convolutions of one image read and write, weights apart."""


@dataclass(frozen=True)
class Roof:
    """What hardware can do at most: FLOP/s by precision (1e12), bytes/s of memory (1e9), bytes of memory and caches."""

    name: str
    tflops: Mapping[str, float]
    memory_gb_per_s: float
    memory_bytes: float
    cache_bytes: float


@dataclass(frozen=True)
class Work:
    """What one image takes: MACs, the numbers in its input and output (``values_per_image``) and those that its layers
    read and write (``layer_values``, None where nobody counted). ``parameters`` are read once a call."""

    macs: int
    parameters: int
    values_per_image: int
    layer_values: int | None = None


class Bound(Document):
    """The least latency of one call, and what it follows from. Bytes are of the whole batch."""

    roof: str
    precision: str
    batch: int
    flops: int
    moved_bytes: int
    compute_ms: float
    memory_ms: float
    unfused_bytes: int | None = None
    unfused_ms: float | None = None

    @property
    def latency_ms(self) -> float:
        return max(self.compute_ms, self.memory_ms)

    @property
    def limited_by(self) -> str:
        return "compute" if self.compute_ms >= self.memory_ms else "memory"

    @property
    def images_per_s(self) -> float:
        """The most that one stream can reach."""
        return self.batch / self.latency_ms * 1e3


def profile_roof(profile: Profile) -> Roof:
    """The roof that a profile states."""
    peaks = profile.peaks
    return Roof(profile.name, peaks.tflops, peaks.memory_gb_per_s, peaks.memory_gb * 1e9, peaks.cache_mb * 1e6)


def host_roof(host: Host, peaks: MeasuredPeaks) -> Roof:
    """The roof of this host's CPU as measured on a thread budget."""
    tflops = {name: value / 1e3 for name, value in peaks.gflops.items()}
    return Roof(HOST, tflops, peaks.memory_gb_per_s, host.memory_bytes, host.cache_bytes or 0)


def roof_of_device(device: str, profile: Profile | None, host: Host, peaks: MeasuredPeaks | None) -> Roof | None:
    """The roof of a cell on ``device`` (``cpu``, ``cuda``, ``cuda:N``), or None where none is known.

    A CPU's is what was measured on it, whatever the profile states of its reference part; a GPU's is that of the
    profile, or of the built-in one that fits the GPU.
    """
    if kind_of(device) == CPU:
        return host_roof(host, peaks) if peaks else None
    gpu = gpu_of(device, host)
    if profile is None and gpu is not None:
        profile = profile_of(gpu)
    return profile_roof(profile) if profile is not None and profile.device == kind_of(device) else None


def work_of(manifest: Manifest) -> Work | None:
    """The work of an artifact; None where its MACs are not known."""
    if manifest.model.macs is None:
        return None
    tensors = (*manifest.inputs, *manifest.outputs)
    values = sum(prod(size for size in tensor.shape[1:] if isinstance(size, int)) for tensor in tensors)
    layers = manifest.facts.get(LAYER_VALUES)
    return Work(manifest.model.macs, manifest.model.parameters, values, layers if isinstance(layers, int) else None)


def bound_of(work: Work, roof: Roof, *, precision: str, batch: int) -> Bound:
    """The bound for ``batch`` images.

    Raises DeployBenchError where the roof has no peak for the precision, or its memory is smaller than the weights.
    """
    if precision not in roof.tflops:
        raise DeployBenchError(
            f"{roof.name} has no peak of {precision} arithmetic", expected=f"one of {', '.join(roof.tflops)}"
        )
    size = BYTES[precision]
    weights = work.parameters * size
    if weights > roof.memory_bytes:
        raise DeployBenchError(
            f"the weights take {weights / 1e9:.1f} GB in {precision}",
            expected=f"{roof.memory_bytes / 1e9:g} GB at most",
        )
    moved = max(weights + batch * work.values_per_image * size - int(roof.cache_bytes), 0)
    unfused = None if work.layer_values is None else weights + batch * work.layer_values * size
    flops = 2 * work.macs * batch
    compute_ms = flops / (roof.tflops[precision] * 1e12) * 1e3

    def memory_ms(moved_bytes: int) -> float:
        return moved_bytes / (roof.memory_gb_per_s * 1e9) * 1e3

    return Bound(
        roof=roof.name,
        precision=precision,
        batch=batch,
        flops=flops,
        moved_bytes=moved,
        compute_ms=compute_ms,
        memory_ms=memory_ms(moved),
        unfused_bytes=unfused,
        unfused_ms=None if unfused is None else max(compute_ms, memory_ms(unfused)),
    )
