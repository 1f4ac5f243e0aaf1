"""Is one order of models another one?"""

from __future__ import annotations

import pytest

from deploybench.analysis.orders import Known, compared_orders, ranks, worth_choosing


def exactly(**values: float) -> dict[str, Known]:
    return {name: Known.of(value) for name, value in values.items()}


def test_equal_orders_have_no_exceptions_and_every_pair_agrees() -> None:
    found = compared_orders(exactly(a=1, b=2, c=3, d=4), exactly(d=40, c=30, b=20, a=10))
    assert found is not None
    assert found.names == ("a", "b", "c", "d")
    assert found.exceptions == ()
    assert (found.agreeing, found.pairs) == (6, 6)
    assert found.tau == pytest.approx(1)


def test_the_one_model_that_stands_elsewhere_is_the_exception() -> None:
    macs = exactly(a=1, b=2, c=3, d=4)
    times = exactly(a=10, b=50, c=30, d=40)
    found = compared_orders(macs, times)
    assert found is not None
    assert found.exceptions == ("b",)
    assert (found.agreeing, found.pairs) == (4, 6)
    assert found.tau == pytest.approx(2 / 6)


def test_models_whose_intervals_overlap_contradict_nothing() -> None:
    macs = exactly(a=1, b=2)
    times = {"a": Known(11, 9, 13), "b": Known(10, 8, 12)}
    found = compared_orders(macs, times)
    assert found is not None
    assert found.exceptions == ()
    assert found.pairs == 0


def test_equal_macs_contradict_nothing() -> None:
    found = compared_orders(exactly(a=5, b=5, c=6), exactly(a=2, b=1, c=3))
    assert found is not None
    assert (found.exceptions, found.pairs) == ((), 2)


def test_fewer_than_four_models_have_no_correlation() -> None:
    found = compared_orders(exactly(a=1, b=2, c=3), exactly(a=1, b=2, c=3))
    assert found is not None
    assert found.tau is None


def test_one_model_stands_in_no_order() -> None:
    assert compared_orders(exactly(a=1, b=2), exactly(a=1)) is None


def test_equal_values_share_the_better_rank() -> None:
    assert ranks({"a": 3.0, "b": 1.0, "c": 3.0, "d": 4.0}) == {"a": 2, "b": 1, "c": 2, "d": 4}
    assert ranks({"a": 0.5, "b": 0.9}, most_first=True) == {"a": 2, "b": 1}


def test_a_model_is_needless_where_another_is_clearly_faster_and_as_accurate() -> None:
    times = exactly(quick=1, middle=2, slow=3)
    accuracies = {
        "quick": Known(0.6, 0.55, 0.65),
        "middle": Known(0.5, 0.45, 0.55),
        "slow": Known(0.9, 0.88, 0.92),
    }
    assert worth_choosing(times, accuracies) == ["quick", "slow"]


def test_a_model_that_is_not_clearly_slower_is_not_needless() -> None:
    times = {"one": Known(10, 9, 11), "other": Known(10.5, 9.5, 11.5)}
    accuracies = {"one": Known(0.61, 0.5, 0.7), "other": Known(0.60, 0.5, 0.7)}
    assert worth_choosing(times, accuracies) == ["one", "other"]
