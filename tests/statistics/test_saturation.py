"""Where a sweep stops paying."""

from __future__ import annotations

import pytest

from deploybench.statistics.saturation import saturation_point


@pytest.mark.parametrize(
    ("throughputs", "point"),
    [
        ({1: 100, 2: 190, 4: 195, 8: 197}, 2),
        ({1: 100, 2: 104.9}, 1),
        ({1: 100, 2: 105}, None),
        ({1: 100, 2: 80, 4: 300}, 1),
        ({1: 100, 2: 190, 4: 360}, None),
        ({8: 197, 1: 100, 4: 195, 2: 190}, 2),
        ({1: 100}, None),
        ({}, None),
    ],
)
def test_saturation_is_the_smallest_size_whose_successor_gains_less_than_5_percent(
    throughputs: dict[int, float], point: int | None
) -> None:
    assert saturation_point(throughputs) == point
