"""Clocks agree on slow work and on work that a fast card does in a moment."""

from __future__ import annotations

import pytest

from tests.gpu.agreement import agree, no_longer


@pytest.mark.parametrize(
    ("one_ms", "other_ms", "agreed"),
    [
        (10.0, 10.9, True),
        (10.0, 11.5, False),
        (0.10, 0.14, True),  # a fast card: launching is half of it
        (0.10, 0.20, False),
        (1.0, 1.3, False),
    ],
)
def test_clocks_agree_within_a_tenth_and_the_cost_of_a_launch(
    one_ms: float, other_ms: float, agreed: bool
) -> None:
    assert agree(one_ms, other_ms) is agreed
    assert agree(other_ms, one_ms) is agreed


def test_a_part_may_take_as_long_as_the_whole_and_not_longer() -> None:
    assert no_longer(0.1, 5.0)
    assert no_longer(0.12, 0.10)
    assert not no_longer(1.4, 1.0)
