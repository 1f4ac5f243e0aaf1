"""What bounds a call: said where it is measured, else not known."""

from __future__ import annotations

import pytest

from deploybench.analysis.limits import limit_in_words, roof_in_words
from deploybench.results.layers import LayerProfile
from deploybench.results.record import Bound


def bound(compute_ms: float, memory_ms: float = 0.0, unfused_ms: float | None = None) -> Bound:
    return Bound(
        roof="host",
        precision="bf16",
        batch=1,
        flops=1,
        moved_bytes=1,
        compute_ms=compute_ms,
        memory_ms=memory_ms,
        unfused_ms=unfused_ms,
    )


@pytest.mark.parametrize(
    ("layers_ms", "of_call", "said"),
    [
        (9.9, bound(8.5), "bound by arithmetic: its MACs at the bf16 peak take 85%"),
        (3.0, bound(2.0), "bound by what lies between the layers: 70%"),
        (9.9, bound(1.0, memory_ms=6.0), "bound by memory"),
        (9.0, bound(3.0, unfused_ms=6.0), "not known: its MACs at the bf16 peak take 30%"),
        (9.9, bound(12.0), "the peak is too low"),
        (9.9, None, "not known: no peak of int8"),
    ],
)
def test_a_limit_is_named_where_it_alone_takes_half_of_the_call(
    layers_ms: float, of_call: Bound | None, said: str
) -> None:
    profile = LayerProfile(plain_ms=10.0, layers_ms=layers_ms)

    assert said in limit_in_words(profile, of_call, "no peak of int8", threads=2)


@pytest.mark.parametrize(
    ("of_call", "said"),
    [
        (bound(8.5, memory_ms=1.0), "bound by arithmetic: its MACs at the bf16 peak take 85%"),
        (bound(1.0, memory_ms=6.0), "bound by memory"),
        (bound(3.0, memory_ms=1.0), "neither: its MACs at the bf16 peak take 30% of the call, me"),
        (bound(12.0), "the peak is too low"),
    ],
)
def test_without_layers_the_roof_alone_names_the_limit(of_call: Bound, said: str) -> None:
    assert said in roof_in_words(10.0, of_call)


def test_fewer_threads_are_advised_where_there_are_more_than_one() -> None:
    profile = LayerProfile(plain_ms=10.0, layers_ms=9.0)
    of_call = bound(3.0, unfused_ms=6.0)

    assert "--threads 1" in limit_in_words(profile, of_call, threads=2)
    assert "--threads" not in limit_in_words(profile, of_call, threads=1)
