"""The rank correlation of MACs with latency ranks only like rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploybench.rows.ranking import ranking_lines, rankings
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from tests.records import record
from tests.rows.test_rows import FAR, NEAR, launches, two_states


def rows_at(*points: tuple[int, float], **changes: object) -> list[Row]:
    """One model a point of (MACs, ms)."""
    made = [
        record(launches(ms), macs=macs, model=f"net{number}", **changes)
        for number, (macs, ms) in enumerate(points)
    ]
    return rows_of(made)


def taus(rows: list[Row]) -> dict[str, tuple[object, int]]:
    return {
        found.runner: (pytest.approx(found.tau), len(found.by_time)) for found in rankings(rows)
    }


def test_correlation_is_one_when_more_macs_always_take_longer() -> None:
    assert taus(rows_at((1, 10.0), (2, 20.0), (3, 30.0))) == {"pytorch": (1.0, 3)}
    assert taus(rows_at((1, 30.0), (2, 20.0), (3, 10.0))) == {"pytorch": (-1.0, 3)}


def test_correlation_is_absent_for_one_model() -> None:
    assert rankings(rows_at((1, 10.0))) == []
    assert rankings([]) == []


@pytest.mark.parametrize(
    "changes", [{"batch": 8}, {"streams": 2}, {"precision": "bf16"}, {"timing": "engine-only"}]
)
def test_rows_that_are_unlike_the_others_take_no_part(changes: dict[str, object]) -> None:
    rows = rows_at((1, 10.0), (2, 20.0))
    odd = replace(rows[0], model="odd", macs_per_image=3, p50_ms=1.0, **changes)  # type: ignore[arg-type]
    assert taus([*rows, odd]) == {"pytorch": (1.0, 2)}


def test_models_are_ranked_within_the_state_that_most_of_them_met() -> None:
    """In the far state the small model is slower than the large one in the near state."""
    small = two_states(10.0, 25.0, model="small")
    large = record(launches(20.0, hop_ns=NEAR), model="large", macs=2 * 10**9)
    largest = record(launches(30.0, hop_ns=NEAR), model="largest", macs=3 * 10**9)
    assert taus(rows_of([small, large, largest])) == {"pytorch": (1.0, 3)}
    apart = record(launches(20.0, hop_ns=FAR), model="large", macs=2 * 10**9)
    near_only = record(launches(10.0, hop_ns=NEAR), model="small")
    assert rankings(rows_of([near_only, apart])) == []


def test_both_orders_are_told_and_how_often_fewer_macs_were_faster() -> None:
    lines = ranking_lines(rows_at((1, 30.0), (2, 10.0), (3, 40.0)))
    assert lines[0].endswith("over 3 models: pytorch +0.33")
    assert lines[1] == "MACs predict: net0 < net1 < net2"
    assert lines[2] == "pytorch gives: net1 < net0 < net2; fewer MACs were faster in 2 of 3 pairs"


def test_models_whose_intervals_overlap_are_not_put_in_an_order() -> None:
    rows = rows_at((1, 30.0), (2, 10.0), (3, 31.0))
    wide = [
        replace(row, p50_low_ms=(row.p50_ms or 0) - 2, p50_high_ms=(row.p50_ms or 0) + 2)
        for row in rows
    ]
    assert (
        ranking_lines(wide)[2]
        == "pytorch gives: net1 < net0 ≈ net2; fewer MACs were faster in 1 of 2 pairs"
    )


def test_model_in_several_sizes_is_told_with_its_size() -> None:
    first, second, third = rows_at((1, 10.0), (2, 20.0), (3, 30.0))
    sized = [
        replace(first, model="vit", patch_size=16),
        replace(second, model="vit", image_size="384x384", patch_size=16),
        third,
    ]
    assert ranking_lines(sized)[1] == "MACs predict: vit@224/16 < vit@384/16 < net2"


def test_two_models_have_a_correlation_and_one_has_none() -> None:
    assert len(ranking_lines(rows_at((1, 10.0), (2, 20.0)))) == 1
    assert "n/a" in ranking_lines(rows_at((1, 10.0)))[0]


def test_each_device_has_its_own_ranking() -> None:
    """Few MACs are fast on the CPU; on the GPU it is the other way round."""
    on_cpu, on_gpu = rows_at((1, 10.0), (2, 20.0)), rows_at((1, 20.0), (2, 10.0), device="cuda")
    assert taus([*on_cpu, *on_gpu]) == {"pytorch": (1.0, 2), "pytorch on cuda": (-1.0, 2)}
