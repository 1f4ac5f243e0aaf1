"""The least time that a model can take on a piece of hardware: the roofline.

Williams, Waterman & Patterson 2009. Arithmetic takes 2 x MACs / peak of that precision; memory
takes the bytes that have to move / bandwidth. The bound is the larger of the two. What has to move
is counted so that the bound holds for every implementation: the weights, the input and the output
once a call, less what the caches may keep from one call to the next. Activations between layers
need not move, because a fused implementation keeps them on the chip. Where they do move is the
second figure, the *unfused* time: the same with what every product and convolution reads and writes
(``layer_values``) in memory, and nothing kept. It is no bound: a runtime below it has fused or
cached something, one above it has room for that.

A bound is computed, never measured, and holds as far as its assumptions: the clock that the peaks
are stated for (boost for the GPUs, base for the Xeon) and every multiply-add done (Winograd's
convolutions do fewer). The roof of this host is what :mod:`deploybench.telemetry.peaks` measured on
it, so that a call may come out a little below.
"""

from __future__ import annotations

from deploybench.artifacts.work import Work
from deploybench.errors import DeployBenchError
from deploybench.hardware.precisions import BYTES, arithmetic
from deploybench.hardware.roof import Roof
from deploybench.results.record import Bound

BYTES_PER_GB = 1e9


def bound_of(work: Work, roof: Roof, *, precision: str, batch: int) -> Bound:
    """The bound for ``batch`` images; it names the precision that products are computed in.

    Raises DeployBenchError where the roof has no peak for the precision, or its memory is smaller
    than the weights.
    """
    computed_in = arithmetic(precision)
    if computed_in not in roof.tflops:
        raise DeployBenchError(
            f"{roof.name} has no peak of {computed_in} arithmetic",
            expected=f"one of {', '.join(roof.tflops)}",
        )
    value_bytes = BYTES[computed_in]
    weight_bytes = work.parameters * BYTES[precision]
    if weight_bytes > roof.memory_bytes:
        raise DeployBenchError(
            f"the weights take {weight_bytes / BYTES_PER_GB:.1f} GB in {precision}",
            expected=f"{roof.memory_bytes / BYTES_PER_GB:g} GB at most",
        )

    # A MAC is two FLOPs. TFLOP/s are 1e12 a second, ms are 1e-3 s.
    flops = 2 * work.macs * batch
    compute_ms = flops / (roof.tflops[computed_in] * 1e12) * 1e3

    # What has to move in every implementation: the weights, inputs and outputs, less the caches.
    needed_bytes = weight_bytes + batch * work.values_per_image * value_bytes
    moved_bytes = max(needed_bytes - int(roof.cache_bytes), 0)

    # What moves where every layer reads and writes memory, where that was counted.
    unfused_bytes = None
    unfused_ms = None
    if work.layer_values is not None:
        unfused_bytes = weight_bytes + batch * work.layer_values * value_bytes
        unfused_ms = max(compute_ms, _memory_ms(unfused_bytes, roof))

    return Bound(
        roof=roof.name,
        precision=computed_in,
        batch=batch,
        flops=flops,
        moved_bytes=moved_bytes,
        compute_ms=compute_ms,
        memory_ms=_memory_ms(moved_bytes, roof),
        unfused_bytes=unfused_bytes,
        unfused_ms=unfused_ms,
    )


def _memory_ms(moved_bytes: int, roof: Roof) -> float:
    return moved_bytes / (roof.memory_gb_per_s * BYTES_PER_GB) * 1e3
