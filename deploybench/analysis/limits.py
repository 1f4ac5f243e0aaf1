"""What bounds an artifact's call, as far as it was measured: arithmetic, memory, or the framework.

A limit is named where it alone accounts for half of the call. What the layers read and write counts
where it has to move in every implementation; if caches may keep it, it is told and decides nothing.
Whether more threads would help is seen by measuring with fewer, and by nothing here.
"""

from __future__ import annotations

from deploybench.results.layers import LayerProfile
from deploybench.results.record import Bound

DECIDES = 0.5
"""A share of the call."""


def limit_in_words(
    profile: LayerProfile, bound: Bound | None, without: str = "", *, threads: int
) -> str:
    """One sentence; ``bound`` is that of the call, and ``without`` says why there is none."""
    call_ms = profile.plain_ms
    outside = profile.gap_ms / call_ms
    if outside >= DECIDES:
        return (
            f"bound by what lies between the layers: {outside:.0%} of the call is in none of them"
        )
    if bound is None:
        return f"what bounds it is not known: {without}"
    named = _named_limit(call_ms, bound)
    if named is not None:
        return named
    told = [_at_peak(call_ms, bound), f"{max(outside, 0.0):.0%} is in no layer"]
    if bound.unfused_ms is not None and bound.unfused_ms > bound.compute_ms:
        moved = bound.unfused_ms / call_ms
        told.append(f"all that its layers read and write takes {moved:.0%} if no cache keeps any")
    words = f"what bounds it is not known: {', '.join(told)}"
    if threads > 1:
        words += "; what threads cost, a second look with --threads 1 tells"
    return words


def roof_in_words(call_ms: float, bound: Bound) -> str:
    """One sentence on a call of which the layers were not timed."""
    named = _named_limit(call_ms, bound)
    if named is not None:
        return named
    memory = bound.memory_ms / call_ms
    return (
        f"bound by neither: {_at_peak(call_ms, bound)}, memory {memory:.0%}; deploybench explain "
        "tells the layers"
    )


def _named_limit(call_ms: float, bound: Bound) -> str | None:
    """The one of arithmetic and memory that takes most of the call; None where neither does."""
    at_peak = _at_peak(call_ms, bound)
    if bound.compute_ms > call_ms:
        return (
            f"what bounds it is not known: {at_peak}, so that the peak is too low, or fewer were "
            "done"
        )
    if bound.compute_ms >= DECIDES * call_ms:
        return f"bound by arithmetic: {at_peak}"
    memory = bound.memory_ms / call_ms
    if memory >= DECIDES:
        return (
            f"bound by memory: weights, input and output that no cache keeps take {memory:.0%} of "
            "the call at the measured bandwidth"
        )
    return None


def _at_peak(call_ms: float, bound: Bound) -> str:
    share = bound.compute_ms / call_ms
    return f"its MACs at the {bound.precision} peak take {share:.0%} of the call"
