"""Classes with few images get their share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deploybench.data.dataset import DataSet, Example
from deploybench.training.balance import class_weights, epoch_order, image_weights
from deploybench.training.draws import generator_of, seed_of, seeded
from tests.training.image_sets import data_set

Counts = st.lists(st.integers(0, 30), min_size=2, max_size=6).filter(lambda counts: sum(counts) > 0)


def of_counts(counts: list[int]) -> DataSet:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    names = tuple(f"class {index}" for index in range(len(counts)))
    examples = [Example(str(index), labels=(label,)) for index, label in enumerate(labels)]
    return data_set(Path("nowhere"), names, examples)


def labels_of(data: DataSet) -> np.ndarray:
    return np.array([(example.labels or (-1,))[0] for example in data])


@given(Counts)
def test_each_class_is_drawn_as_often(counts: list[int]) -> None:
    data = of_counts(counts)
    weights = image_weights(data)
    assert weights.sum() == pytest.approx(1)
    of_class = np.bincount(labels_of(data), weights=weights, minlength=len(counts))
    present = np.array(counts) > 0
    assert of_class[present] == pytest.approx(1 / present.sum())
    assert (of_class[~present] == 0).all()


@given(Counts, st.integers(0, 1000))
@settings(max_examples=30)
def test_the_weights_of_a_loss_make_every_class_weigh_the_same(
    counts: list[int], seed: int
) -> None:
    data = of_counts(counts)
    weights = class_weights(data)
    assert np.isfinite(weights.values).all()
    assert (weights.values > 0).all()
    each = weights.values[labels_of(data)]
    assert each.mean() == pytest.approx(1, rel=1e-5)
    of_class = np.bincount(labels_of(data), weights=each, minlength=len(counts))
    present = np.array(counts) > 0
    assert of_class[present] == pytest.approx(sum(counts) / present.sum(), rel=1e-5)
    assert bool(weights.notes) == (not present.all())


def test_a_balanced_epoch_has_every_class_as_often() -> None:
    data = of_counts([2000, 100, 10, 0])
    order = epoch_order(data, "sampler", generator_of(0, 0, "order"))
    assert len(order) == len(data)
    drawn = np.bincount(labels_of(data)[order], minlength=4)
    # 2110 draws of three classes alike: 703 each with a deviation of 22.
    assert np.abs(drawn[:3] - 2110 / 3).max() < 5 * 22
    assert drawn[3] == 0


def test_an_unbalanced_epoch_has_every_image_once() -> None:
    data = of_counts([5, 3])
    for balance in ("none", "loss"):
        order = epoch_order(data, balance, generator_of(0, 0, "order"))  # type: ignore[arg-type]
        assert sorted(order) == list(range(8))


def test_absent_classes_are_named() -> None:
    weights = class_weights(of_counts([3, 0, 1, 0]))
    assert weights.values.tolist() == pytest.approx([2 / 3, 1, 2, 1])
    assert weights.notes == (
        "2 classes are not with an image, and weigh 1 in the loss: class 1, class 3",
    )


def several(*labels: tuple[tuple[int, ...], tuple[int, ...]]) -> DataSet:
    examples = [
        Example(str(index), labels=present, unknown=unknown)
        for index, (present, unknown) in enumerate(labels)
    ]
    return data_set(Path("nowhere"), ("a", "b", "c", "d"), examples, "multi-label")


def test_weights_of_several_labels_count_what_is_known() -> None:
    # a: with 1, without 2, unknown 1. b: in all. c: in none. d: known nowhere.
    data = several(
        ((0, 1), (3,)),
        ((1,), (3,)),
        ((1,), (3,)),
        ((1,), (0, 3)),
    )
    weights = class_weights(data)
    assert weights.values.tolist() == [2, 1, 1, 1]
    (note,) = weights.notes
    assert note.endswith("weigh 1 in the loss: b, c, d")


def test_an_image_of_several_classes_counts_as_one_of_its_rarest() -> None:
    data = several(((0, 1), ()), ((0,), ()), ((0,), ()), ((), ()))
    weights = image_weights(data)
    # Rarest: b (1 image), a (3), a (3), none (1).
    assert (weights / weights[0]).tolist() == pytest.approx([1, 1 / 3, 1 / 3, 1])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=4))
def test_a_key_is_a_seed(key: list[int]) -> None:
    assert seed_of(*key) == seed_of(*key)
    assert 0 <= seed_of(*key) < 1 << 63
    assert seed_of(*key) != seed_of(*key, 0)
    with seeded(*key):
        first = torch.rand(3)
    with seeded(*key):
        assert torch.equal(torch.rand(3), first)


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert seed_of(0, 1, "image") == 193045947907462958
