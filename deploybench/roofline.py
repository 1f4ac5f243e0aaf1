"""The least time that a model can take on a piece of hardware: the roofline (Williams, Waterman & Patterson 2009).

Arithmetic takes 2 x MACs / peak of that precision; memory takes the bytes that have to move once / bandwidth: the
weights, the input and the output. Activations between layers are left out, because a fused implementation need not
write them. The bound is the larger of the two. It is computed, never measured, and holds as far as its assumptions:
the clock that the profile states (boost for the GPUs, base for the Xeon), every multiply-add done (Winograd's
convolutions do fewer), and weights read in every call (a model that fits into a cache need not).
"""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.errors import DeployBenchError
from deploybench.profile import Profile

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2, "int8": 1}
"""Of one stored number; tf32 is how fp32 is multiplied."""


@dataclass(frozen=True)
class Bound:
    """The least latency of one call, and what it follows from. ``moved_bytes`` are of the whole batch."""

    profile: str
    precision: str
    batch: int
    flops: int
    moved_bytes: int
    compute_ms: float
    memory_ms: float

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


def bound_of(
    macs: int, parameters: int, values_per_image: int, profile: Profile, *, precision: str, batch: int
) -> Bound:
    """The bound for ``batch`` images; ``values_per_image`` are the numbers in one input and its output.

    Raises DeployBenchError where the profile has no peak for the precision, or its memory is smaller than the weights.
    """
    peaks = profile.peaks
    if precision not in peaks.tflops:
        raise DeployBenchError(
            f"{profile.name} has no {precision} arithmetic", expected=f"one of {', '.join(peaks.tflops)}"
        )
    weights = parameters * BYTES[precision]
    if weights > peaks.memory_gb * 1e9:
        raise DeployBenchError(
            f"the weights take {weights / 1e9:.1f} GB in {precision}", expected=f"{peaks.memory_gb:g} GB at most"
        )
    moved = weights + batch * values_per_image * BYTES[precision]
    flops = 2 * macs * batch
    compute_ms = flops / (peaks.tflops[precision] * 1e12) * 1e3
    memory_ms = moved / (peaks.memory_gb_per_s * 1e9) * 1e3
    return Bound(profile.name, precision, batch, flops, moved, compute_ms, memory_ms)
