"""A drift is told from chance, also where values know of each other."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.dependence import autoregressive
from deploybench.statistics.drift import drift_of


@pytest.mark.parametrize("rise", [0.05, -0.05])
def test_a_line_under_noise_is_found(rise: float) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 120)

    assert drift_of(np.linspace(0, rise, 120) + noise) == pytest.approx(rise, rel=0.25)


def test_noise_alone_has_none() -> None:
    generator = np.random.default_rng(1)

    found = [drift_of(generator.normal(0, 0.01, 100)) for _ in range(200)]

    assert sum(drift != 0 for drift in found) <= 2


def test_what_wanders_by_itself_has_seldom_one() -> None:
    """Kendall's test for independent values would find one in half of these."""
    generator = np.random.default_rng(2)
    series = autoregressive(0.8, 0.01)

    found = [drift_of(series(generator, 100)) for _ in range(100)]

    assert sum(drift != 0 for drift in found) <= 10


def test_a_few_values_and_equal_ones_have_none() -> None:
    assert drift_of(np.arange(10.0)) == 0
    assert drift_of(np.ones(100)) == 0
