"""Splits: every class in its share, no patient in two, the same for the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deploybench.data.dataset import DataSet, Example
from deploybench.data.sources import ImageFiles
from deploybench.data.splits import groups_in_several_splits, split_data
from deploybench.errors import DeployBenchError

SHARES = {"train": 0.75, "val": 0.1, "test": 0.15}


def made(examples: list[Example], classes: int, task: str = "single-label") -> DataSet:
    return DataSet(
        name="made",
        form="made up",
        root=Path("made"),
        class_names=tuple(f"class {index}" for index in range(classes)),
        task=task,  # type: ignore[arg-type]
        examples=tuple(examples),
        images=ImageFiles(Path("made")),
    )


def by_counts(*counts: int) -> DataSet:
    examples = [
        Example(f"{label}/{index}.png", labels=(label,))
        for label, count in enumerate(counts)
        for index in range(count)
    ]
    return made(examples, len(counts))


def test_every_class_has_its_share_in_every_split() -> None:
    data = split_data(by_counts(1000, 200, 40)).data
    assert data.in_split("train").counts() == (750, 150, 30)
    assert data.in_split("val").counts() == (100, 20, 4)
    assert data.in_split("test").counts() == (150, 30, 6)


def test_seed_decides_and_the_order_of_the_images_does_not() -> None:
    data = by_counts(60, 40)
    first = {one.key: one.split for one in split_data(data, seed=1).data}
    turned = data.with_examples(data.examples[::-1])
    assert {one.key: one.split for one in split_data(turned, seed=1).data} == first
    assert {one.key: one.split for one in split_data(data, seed=2).data} != first


def test_known_split_stays_what_it_is() -> None:
    """A model that was trained on one split must not be tested on another by a later version."""
    chosen = [one.split for one in split_data(by_counts(6, 6), seed=0).data]
    assert "".join(str(name)[1] for name in chosen) == KNOWN


KNOWN = "rerarrrearrr"
"""The second letter of each split."""


def test_class_of_three_images_is_in_every_split() -> None:
    data = split_data(by_counts(500, 3)).data
    assert [data.in_split(name).counts()[1] for name in SHARES] == [1, 1, 1]


def test_class_with_too_few_patients_is_told() -> None:
    result = split_data(by_counts(500, 2))
    assert result.notes == ("val has no image of class 1: too few patients",)


def test_shares_and_sizes_that_cannot_be_are_refused() -> None:
    for shares in ({"train": 1.0}, {"train": 0.7, "test": 0.2}, {"train": 1.5, "test": -0.5}):
        with pytest.raises(DeployBenchError, match="shares of"):
            split_data(by_counts(10, 10), shares)
    one_patient = made([Example(f"{n}.png", labels=(0,), group="p") for n in range(9)], 2)
    with pytest.raises(DeployBenchError, match="1 patient or image"):
        split_data(one_patient)


def test_patients_in_several_splits_are_found() -> None:
    examples = [
        Example("a", labels=(0,), group="p", split="train"),
        Example("b", labels=(0,), group="p", split="test"),
        Example("c", labels=(0,), group="q", split="test"),
        Example("d", labels=(0,), split="train"),
    ]
    assert groups_in_several_splits(made(examples, 1)) == ("p",)


@example(seed=96, classes=2, patients=95, most=5, multi=True)  # was 17 images off in 295
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 5),
    st.integers(20, 120),
    st.integers(1, 6),
    st.booleans(),
)
def test_no_patient_is_in_two_splits_and_no_image_is_lost(
    seed: int, classes: int, patients: int, most: int, multi: bool
) -> None:
    draw = np.random.default_rng(seed)
    examples = []
    for patient in range(patients):
        label = int(draw.integers(classes))
        for number in range(int(draw.integers(1, most + 1))):
            labels = (label,)
            if multi:
                labels = tuple(np.flatnonzero(draw.random(classes) < 0.4).tolist())
            examples.append(Example(f"{patient}/{number}", labels=labels, group=str(patient)))
    data = made(examples, classes, "multi-label" if multi else "single-label")
    split = split_data(data, SHARES, seed).data
    assert [one.key for one in split] == [one.key for one in data]
    assert groups_in_several_splits(split) == ()
    sizes = Counter(one.split for one in split)
    largest = max(Counter(one.group for one in data).values())
    for name, share in SHARES.items():
        # A patient cannot be divided; each class may leave one over.
        assert abs(sizes[name] - share * len(data)) <= (classes + 1) * largest
    with_class: dict[int, set[str | None]] = defaultdict(set)
    for one in data:
        for label in one.labels or ():
            with_class[label].add(one.group)
    for label, groups in with_class.items():
        if len(groups) >= len(SHARES) and not multi:
            counts = [split.in_split(name).counts()[label] for name in SHARES]
            assert min(counts) >= 1
