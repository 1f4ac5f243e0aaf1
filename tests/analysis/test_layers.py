"""Time by module: what is joined, what stays apart, and what is said of it."""

from __future__ import annotations

import pytest

from deploybench.analysis.layers import (
    by_kind,
    by_module,
    misplaced_share,
    reconciled,
    side_by_side,
    where_macs_lie,
)
from deploybench.artifacts.module_work import ModuleWork
from deploybench.results.layers import LayerFigures, LayerProfile

WORK = (
    ModuleWork(name="", kind="Net"),
    ModuleWork(name="stem", kind="Conv2d 3x3", macs=100, parameters=10, values=40),
    ModuleWork(name="norm", kind="BatchNorm2d", parameters=4, values=20, follows="stem"),
    ModuleWork(name="act", kind="SiLU", values=20),
    ModuleWork(name="block", kind="Block"),
    ModuleWork(name="block.deep", kind="Conv2d 3x3 depthwise", macs=20, parameters=2, values=20),
    ModuleWork(name="block.wide", kind="Conv2d 1x1", macs=80, parameters=8, values=20),
)


def layer(name: str, ms: float, *modules: str, kind: str = "Convolution") -> LayerFigures:
    return LayerFigures(name=name, kind=kind, modules=modules, ms=ms, low_ms=ms, high_ms=ms)


def profile(*layers: LayerFigures, **changes: float) -> LayerProfile:
    total = sum(found.ms for found in layers)
    figures = {"plain_ms": total, "profiled_ms": total, "layers_ms": total, **changes}
    return LayerProfile(layers=layers, calls=10, windows=5, gaps_ms=(0.1, 0.2), **figures)  # type: ignore[arg-type]


LAYERS = (
    layer("Multiply_1", 2.0, "norm", "act"),
    layer("deep", 6.0, "block.deep"),
    layer("wide", 1.0, "block.wide"),
    layer("reorder", 1.0, kind="Reorder"),
)


def test_a_folded_convolution_gets_the_time_of_the_layer_that_bears_the_norms_name() -> None:
    times = by_module(profile(*LAYERS), WORK, batch=1, precision="fp32")

    stem = times.by_name["stem"]
    assert stem.ms == 2.0
    assert stem.computes == ["stem", "norm", "act"]
    assert stem.kinds == ["Conv2d 3x3"]
    assert times.holder_of("act") == "stem"
    # 40 + 10 of the convolution, 20 + 4 of the norm and 20 of the activation, of four bytes each.
    assert stem.moved_bytes == 4 * 94


def test_weights_of_8_bits_move_a_byte_each() -> None:
    times = by_module(profile(*LAYERS), WORK, batch=1, precision="int8-weights")
    assert times.by_name["stem"].moved_bytes == 4 * (40 + 20 + 20) + 10 + 4


def test_shares_of_time_and_macs_tell_where_macs_lie() -> None:
    times = by_module(profile(*LAYERS), WORK, batch=1, precision="fp32")

    deep = times.by_name["block.deep"]
    assert deep.time_share == pytest.approx(0.6)
    assert deep.macs_share == pytest.approx(0.1)
    assert deep.ratio == pytest.approx(6.0)
    assert where_macs_lie(times) == [deep]
    assert misplaced_share(times) == pytest.approx(0.5 + 0.1)
    assert by_kind(times)[0].kind == "Conv2d 3x3 depthwise"


def test_what_names_no_module_stays_apart_and_so_do_macs_that_no_layer_does() -> None:
    times = by_module(profile(LAYERS[0], LAYERS[3]), WORK, batch=1, precision="fp32")

    assert [found.name for found in times.unmapped] == ["reorder"]
    assert times.unmapped_ms == 1.0
    assert times.lost_macs == pytest.approx(0.5)


def test_depth_joins_what_lies_below_a_module() -> None:
    times = by_module(profile(*LAYERS), WORK, batch=2, precision="bf16", depth=1)

    block = times.by_name["block"]
    assert block.ms == 7.0
    assert block.macs == 2 * 100
    assert block.macs_share == pytest.approx(0.5)
    assert block.moved_bytes == 2 * (2 * 40 + 10)


def test_without_counted_work_there_are_times_alone() -> None:
    times = by_module(profile(*LAYERS), (), batch=1, precision="fp32")

    assert times.by_name["norm"].macs is None
    assert times.lost_macs is None
    assert misplaced_share(times) is None
    assert where_macs_lie(times) == []


def test_two_profiles_are_joined_by_name_with_the_largest_difference_first() -> None:
    one = by_module(profile(*LAYERS), WORK, batch=1, precision="fp32")
    apart = (layer("conv", 1.5, "stem"), layer("silu", 0.7, "act", kind="Swish"), *LAYERS[1:])
    other = by_module(profile(*apart), WORK, batch=1, precision="fp32")

    pairs = side_by_side(one, other)

    assert [pair.module for pair in pairs][:2] == ["act", "stem"]
    assert pairs[0].one is None
    assert one.holder_of("act") == "stem"
    assert pairs[1].difference_ms == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plain_ms": 10.2}, "between them 0.200 ms (2.0%)"),
        ({"plain_ms": 20.0}, "outside every layer"),
        ({"plain_ms": 5.0, "profiled_ms": 11.0}, "the profiler slows the layers"),
        ({"plain_ms": 5.0, "profiled_ms": 5.1}, "side by side"),
    ],
)
def test_the_sum_of_the_layers_is_reconciled_with_the_call(
    changes: dict[str, float], said: str
) -> None:
    words = " ".join(reconciled(profile(*LAYERS, **changes)))

    assert "layers 10.000 ms" in words
    assert said in words
    if changes["plain_ms"] == 10.2:
        assert "outside" not in words
