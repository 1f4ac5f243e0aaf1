"""The least time that a model can take on a piece of hardware: the roofline (Williams, Waterman &
Patterson 2009).

Arithmetic takes 2 x MACs / peak of that precision; memory takes the bytes that have to move /
bandwidth. The bound is the larger of the two. What has to move is counted so that the bound holds
for every implementation: the weights, the input and the output once a call, less what the caches
may keep from one call to the next. Activations between layers need not move, because a fused
implementation keeps them on the chip. Where they do move is the second figure, the *unfused* time:
the same with what every product and convolution reads and writes (``layer_values``) in memory, and
nothing kept. It is no bound: a runtime below it has fused or cached something, one above it has
room for that.

A bound is computed, never measured, and holds as far as its assumptions: the clock that the peaks
are stated for (boost for the GPUs, base for the Xeon) and every multiply-add done (Winograd's
convolutions do fewer). The roof of this host is what :mod:`deploybench.telemetry.peaks` measured on
it, so that a call may come out a little below.
"""

from __future__ import annotations

from deploybench.artifacts.work import Work
from deploybench.errors import DeployBenchError
from deploybench.hardware.precisions import BYTES
from deploybench.hardware.roof import Roof
from deploybench.results.record import Bound


def bound_of(work: Work, roof: Roof, *, precision: str, batch: int) -> Bound:
    """The bound for ``batch`` images.

    Raises DeployBenchError where the roof has no peak for the precision, or its memory is smaller
    than the weights.
    """
    if precision not in roof.tflops:
        raise DeployBenchError(
            f"{roof.name} has no peak of {precision} arithmetic",
            expected=f"one of {', '.join(roof.tflops)}",
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
