"""Two sets of answers to the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.task import task_asked, task_of_shape
from deploybench.data.dataset import DataSet, Example
from deploybench.evaluate.agreement import agreement_of
from deploybench.evaluate.journal import Predictions
from deploybench.evaluate.scoring import Evaluated, evaluated_of

NAMES = ("a", "b", "c", "d", "e", "f", "g")


class _Places:
    def place(self, key: str) -> str:
        return f"data/{key}"


DATA = DataSet(
    name="made up",
    form="made up",
    root=Path("data"),
    class_names=(),
    task="single-label",
    examples=tuple(Example(f"{index}.png") for index in range(20)),
    images=_Places(),  # type: ignore[arg-type]
)


def answers(outputs: np.ndarray, images: list[int], task: str = "multi_class") -> Evaluated:
    asked = task_asked(f"{task}:probabilities", (7,), task_of_shape((7,)))
    rows = Predictions(np.array(images), outputs.astype(np.float32), {})
    return evaluated_of(rows, asked, NAMES, 7)


def test_flipped_image_is_named_with_both_answers_and_the_order_of_rows_does_not_matter() -> None:
    old = np.full((3, 7), 0.05)
    old[:, 0] = 0.6
    new = old.copy()
    new[1, 0], new[1, 3] = 0.3, 0.5
    found = agreement_of(answers(old, [5, 9, 2]), answers(new[::-1], [2, 9, 5]), DATA)
    assert found is not None
    assert (found.images, found.flipped) == (3, 1)
    assert found.top1.value == pytest.approx(2 / 3)
    assert found.largest_shift == pytest.approx(0.45)
    assert found.mean_shift == pytest.approx(0.15)
    assert found.top5 == 1
    (flip,) = found.flips
    assert (flip.image, flip.baseline, flip.candidate) == ("data/9.png", "a", "d")
    assert flip.baseline_probability == pytest.approx(0.6)
    assert flip.candidate_probability == pytest.approx(0.5)


def test_only_images_that_both_have_are_compared() -> None:
    both = np.full((2, 7), 1 / 7)
    found = agreement_of(answers(both, [0, 1]), answers(both, [1, 2]), DATA)
    assert found is not None
    assert found.images == 1
    assert agreement_of(answers(both, [0, 1]), answers(both, [2, 3]), DATA) is None


def test_of_several_labels_an_image_flips_with_any_of_them() -> None:
    old = np.full((2, 7), 0.2)
    old[:, 1] = 0.7
    new = old.copy()
    new[0, 1] = 0.4
    pair = [answers(one, [0, 1], "multi_label") for one in (old, new)]
    found = agreement_of(*pair, DATA)
    assert found is not None
    assert (found.flipped, found.top5) == (1, None)
    assert (found.flips[0].baseline, found.flips[0].candidate) == ("b", "not b")
