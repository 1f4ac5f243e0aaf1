"""The rank correlation of MACs with latency ranks only like rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploybench.report.rank import rank_correlations
from deploybench.report.row import Row
from deploybench.report.rows import rows_of
from tests.records import record
from tests.report.test_rows import FAR, NEAR, launches, two_states


def rows_at(*points: tuple[int, float], **changes: object) -> list[Row]:
    """One model a point of (MACs, ms)."""
    made = [
        record(launches(ms), macs=macs, model=f"net{number}", **changes) for number, (macs, ms) in enumerate(points)
    ]
    return rows_of(made)


def test_correlation_is_one_when_more_macs_always_take_longer() -> None:
    assert rank_correlations(rows_at((1, 10.0), (2, 20.0), (3, 30.0))) == {"pytorch": (pytest.approx(1), 3)}
    assert rank_correlations(rows_at((1, 30.0), (2, 20.0), (3, 10.0)))["pytorch"][0] == pytest.approx(-1)


def test_correlation_is_absent_for_one_model() -> None:
    assert rank_correlations(rows_at((1, 10.0))) == {}
    assert rank_correlations([]) == {}


@pytest.mark.parametrize("changes", [{"batch": 8}, {"streams": 2}, {"precision": "bf16"}, {"timing": "engine-only"}])
def test_rows_that_are_unlike_the_others_take_no_part(changes: dict[str, object]) -> None:
    rows = rows_at((1, 10.0), (2, 20.0))
    odd = replace(rows[0], model="odd", macs_per_image=3, p50_ms=1.0, **changes)  # type: ignore[arg-type]
    assert rank_correlations([*rows, odd]) == {"pytorch": (pytest.approx(1), 2)}


def test_models_are_ranked_within_the_state_that_most_of_them_met() -> None:
    """In the far state the small model is slower than the large one in the near state."""
    small = two_states(10.0, 25.0, model="small")
    large = record(launches(20.0, hop_ns=NEAR), model="large", macs=2 * 10**9)
    largest = record(launches(30.0, hop_ns=NEAR), model="largest", macs=3 * 10**9)
    assert rank_correlations(rows_of([small, large, largest])) == {"pytorch": (pytest.approx(1), 3)}
    apart = record(launches(20.0, hop_ns=FAR), model="large", macs=2 * 10**9)
    near_only = record(launches(10.0, hop_ns=NEAR), model="small")
    assert rank_correlations(rows_of([near_only, apart])) == {}
