"""Probabilities that are made from a journal's outputs as they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.artifacts.task import Task, task_asked, task_of_shape
from deploybench.data.postprocess import answers
from deploybench.evaluate.answers import Probabilities

OUTPUTS = np.random.default_rng(0).normal(0, 20, (50, 7)).astype(np.float32)


def asked(text: str, shape: tuple[int, ...] = (7,)) -> Task:
    return task_asked(text, shape, task_of_shape(shape))


@pytest.mark.parametrize("text", ["multi_class", "multi_label", "multi_class:probabilities"])
def test_any_part_is_what_predict_shows(text: str) -> None:
    task = asked(text)
    made = Probabilities(OUTPUTS, task, 7)
    wanted = answers(OUTPUTS, task)
    assert made.shape == wanted.shape
    assert made[:] == pytest.approx(wanted)
    assert made[10:20] == pytest.approx(wanted[10:20])
    assert made[:, 2:5] == pytest.approx(wanted[:, 2:5])
    chosen = np.array([3, 1, 40])
    assert made[chosen] == pytest.approx(wanted[chosen])


def test_one_output_of_yes_or_no_is_two_classes() -> None:
    outputs = OUTPUTS[:, :1]
    made = Probabilities(outputs, asked("binary", (1,)), 2)
    assert made.shape == (50, 2)
    yes = answers(outputs, asked("binary", (1,)))[:, 0]
    assert made[:, 1:2][:, 0] == pytest.approx(yes)
    assert made[:].sum(axis=1) == pytest.approx(np.ones(50))


def test_number_of_a_class_is_certainty_of_it() -> None:
    task = Task(kind="multi_class", scores="classes", known="found")
    made = Probabilities(np.array([[2.0], [0.0]], np.float32), task, 3)
    assert not made.sure
    assert made[:].tolist() == [[0, 0, 1], [1, 0, 0]]
