"""The numbers of attention against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.attention.grids import Grid, check_inside, corners_of_the_third, grid_of
from deploybench.attention.numbers import (
    agreement,
    entropy,
    interval,
    mean_distance,
    on_grid,
    rollout,
)
from deploybench.errors import DeployBenchError


def test_entropy_is_one_for_even_weights_and_none_for_one_place() -> None:
    assert entropy(np.full((2, 3, 8), 1 / 8)) == pytest.approx(1)
    assert entropy(np.eye(8)) == 0
    assert entropy(np.array([[0.5, 0.5, 0, 0]])) == pytest.approx(0.5)


def test_distance_is_in_pixels_of_the_image() -> None:
    assert mean_distance(np.eye(4), (2, 2), (16, 16)) == 0
    # Of 2 x 2 places, the mean over all four: itself, beside, below, and across.
    even = np.full((4, 4), 1 / 4)
    expected = (0 + 16 + 8 + np.hypot(16, 8)) / 4
    assert mean_distance(even, (2, 2), (16, 8)) == pytest.approx(expected)
    # What goes to other tokens than places is left out of the weights, not of the mean.
    assert mean_distance(even / 2, (2, 2), (16, 8)) == pytest.approx(expected)


def test_rollout_of_identity_is_identity_and_rows_sum_to_one() -> None:
    assert np.array_equal(rollout([np.eye(5)[None]] * 3), np.eye(5))
    generator = np.random.default_rng(1)
    layers = [generator.dirichlet(np.ones(5), (2, 5)) for _ in range(3)]
    assert rollout(layers).sum(-1) == pytest.approx(np.ones(5))


def test_rollout_goes_from_the_last_layer_back_to_the_image() -> None:
    first, last = np.eye(3)[None], np.eye(3)[None].copy()
    first[0, 1] = [0, 0, 1]  # token 1 has looked at token 2
    last[0, 0] = [0, 1, 0]  # and token 0 then at token 1
    assert rollout([first, last])[0] == pytest.approx([0.5, 0.25, 0.25])


def test_agreement_is_that_of_ranks_on_the_coarser_grid() -> None:
    coarse = np.array([[1.0, 2.0], [3.0, 4.0]])
    fine = np.kron(coarse**3, np.ones((3, 3)))
    assert agreement(coarse, fine) == pytest.approx(1)
    assert agreement(coarse, -fine) == pytest.approx(-1)
    assert np.isnan(agreement(coarse, np.ones((2, 2))))


def test_a_grid_that_does_not_divide_keeps_the_mean() -> None:
    values = np.arange(9.0).reshape(3, 3)
    assert on_grid(values, (2, 2)).mean() == pytest.approx(values.mean())


def test_an_interval_takes_three_images() -> None:
    assert interval([1.0, 2.0]).low is None
    found = interval([1.0, 2.0, 3.0, float("nan")])
    assert found.images == 3
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.mean == 2 < found.high


def test_tokens_lie_where_the_image_has_them() -> None:
    assert grid_of(197, (224, 224)) == Grid(1, 14, 14)
    assert grid_of(32, (64, 128)) == Grid(0, 4, 8)
    assert Grid(1, 14, 14).token((16, 33), (224, 224)) == 1 + 14 + 2


def test_the_four_pixels_are_the_corners_of_the_third() -> None:
    assert corners_of_the_third((96, 48)) == ((32, 16), (32, 32), (64, 16), (64, 32))
    with pytest.raises(DeployBenchError, match="outside"):
        check_inside((96, 0), (96, 48))
