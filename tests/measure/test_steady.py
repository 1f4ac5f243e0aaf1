"""Where the warm-up ends, on made-up samples whose truth is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.measure.steady import FEWEST_SAMPLES, Steady, find_steady

LEVEL = 10_000_000
Floats = npt.NDArray[np.float64]


def noise(count: int, seed: int = 0, sigma: float = 0.01) -> Floats:
    """``count`` independent samples around 10 ms."""
    return LEVEL * np.exp(np.random.default_rng([seed, count]).normal(0, sigma, count))


def steady_of(samples: Floats) -> Steady:
    return find_steady(samples.astype(int).tolist())


@pytest.mark.parametrize("count", [8, 15, 39, 40, 41, 100, 250, 1000])
@pytest.mark.parametrize("sigma", [0.002, 0.02, 0.1])
def test_flat_samples_have_no_warm_up_whatever_their_number_and_noise(
    count: int, sigma: float
) -> None:
    found = [steady_of(noise(count, seed, sigma)) for seed in range(25)]
    plain = sum(item.cut == 0 and item.settled for item in found)
    assert plain >= 22


@pytest.mark.parametrize("slow", [1, 5, 20, 60])
@pytest.mark.parametrize("factor", [1.1, 1.5, 10])
def test_warm_up_of_some_slow_calls_is_cut_within_a_block_of_its_end(
    slow: int, factor: float
) -> None:
    samples = noise(200)
    block = 200 // 40
    samples[:slow] *= factor
    found = steady_of(samples)
    assert found.settled
    assert slow - block < found.cut <= slow + block


def test_warm_up_of_two_phases_is_cut_whole() -> None:
    samples = noise(400)
    samples[:40] *= 3
    samples[40:80] *= 1.3
    found = steady_of(samples)
    assert found.settled
    assert found.cut == pytest.approx(80, abs=10)


def test_warm_up_that_decays_is_cut_to_within_3_percent_of_the_level() -> None:
    decay = 1 + 2 * np.exp(-np.arange(600) / 20)
    found = steady_of(noise(600, sigma=0.003) * decay)
    assert found.settled
    assert decay[found.cut] < 1.03
    assert found.cut < 130


def test_one_slow_first_call_of_few_is_cut() -> None:
    samples = noise(20, sigma=0.005)
    samples[0] *= 4
    assert steady_of(samples).cut == 1


@pytest.mark.parametrize(("first", "last"), [(3, 1), (1, 3), (1.2, 1)])
def test_ramp_that_never_ends_is_unsettled(first: float, last: float) -> None:
    found = steady_of(noise(200, sigma=0.005) * np.linspace(first, last, 200))
    assert not found.settled
    assert "warming up" in found.reason or "another level" in found.reason


def test_slow_calls_over_more_than_a_third_are_still_warming_up() -> None:
    samples = noise(200)
    samples[:80] *= 2
    found = steady_of(samples)
    assert not found.settled
    assert found.reason == "still warming up after 80 of 200 calls"


@pytest.mark.parametrize("factor", [1.2, 1.6])
@pytest.mark.parametrize("where", [80, 120, 140])
def test_level_that_rises_inside_the_launch_is_unsettled(factor: float, where: int) -> None:
    samples = noise(200)
    samples[where:] *= factor
    found = steady_of(samples)
    assert not found.settled
    assert "lie at another level than the rest" in found.reason
    assert 0.2 < found.off_level < 0.8


def test_level_that_falls_half_way_is_unsettled() -> None:
    samples = noise(200)
    samples[100:] *= 0.7
    assert not steady_of(samples).settled


def test_short_burst_in_the_middle_is_neither_warm_up_nor_unsettled() -> None:
    samples = noise(200)
    samples[100:120] *= 2
    found = steady_of(samples)
    assert found.settled
    assert found.cut == 0
    assert found.off_level == pytest.approx(0.1, abs=0.03)


def test_faster_calls_at_first_are_no_warm_up() -> None:
    samples = noise(200)
    samples[:30] *= 0.7
    found = steady_of(samples)
    assert found.cut == 0
    assert found.settled
    assert found.off_level == pytest.approx(0.15, abs=0.03)


def test_step_smaller_than_3_percent_is_one_level() -> None:
    samples = noise(200, sigma=0.002)
    samples[:30] *= 1.02
    assert steady_of(samples).cut == 0


@pytest.mark.parametrize("count", [1, FEWEST_SAMPLES - 1])
def test_too_few_calls_are_unsettled_in_words(count: int) -> None:
    found = find_steady([LEVEL] * count)
    assert (found.cut, found.settled) == (0, False)
    calls = "1 call is" if count == 1 else f"{count} calls are"
    assert found.reason == f"{calls} too few to see whether they settled"


def test_samples_that_are_all_equal_are_settled() -> None:
    assert find_steady([LEVEL] * 50) == Steady(0, True, 0.0, "")


@given(st.lists(st.integers(10_000, 10**10), max_size=300))
def test_cut_is_within_the_samples_and_the_reason_is_there_exactly_when_unsettled(
    samples: list[int],
) -> None:
    found = find_steady(samples)
    assert 0 <= found.cut <= len(samples) / 3 or not found.settled
    assert found.cut < max(len(samples), 1)
    assert 0 <= found.off_level <= 1
    assert found.settled == (found.reason == "")


@given(
    st.integers(8, 300),
    st.integers(0, 10**6),
    st.integers(0, 100),
    st.floats(1, 5),
    st.integers(2, 1000),
)
def test_cut_does_not_depend_on_the_unit(
    count: int, seed: int, slow: int, factor: float, unit: int
) -> None:
    samples = noise(count, seed)
    samples[:slow] *= factor
    whole = samples.astype(int)
    found, scaled = find_steady(whole.tolist()), find_steady((whole * unit).tolist())
    assert (scaled.cut, scaled.settled) == (found.cut, found.settled)
