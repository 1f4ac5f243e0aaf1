"""What predict says of an output, for each task."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploybench.artifacts.task import Task, task_asked, task_of_shape
from deploybench.data.postprocess import sigmoid
from deploybench.evaluate.seen import guesses
from deploybench.report.prediction_table import prediction_report

LOGITS = np.array([[0.0, math.log(3), -1000.0]], np.float32)


def asked(text: str, shape: tuple[int, ...] = (3,)) -> Task:
    return task_asked(text, shape, task_of_shape(shape))


@pytest.mark.parametrize(
    ("task", "probabilities"),
    [
        ("multi_class", [0.75, 0.25, 0]),
        ("multi_label", [0.75, 0.5, 0]),
    ],
)
def test_scores_become_the_probabilities_of_their_task(
    task: str, probabilities: list[float]
) -> None:
    found = guesses(LOGITS, asked(task), None, top=3)
    assert [guess["probability"] for guess in found] == pytest.approx(probabilities)
    assert found[0]["name"] == "class 1"


def test_probabilities_stay_as_they_are() -> None:
    output = np.array([[0.1, 0.7, 0.2]], np.float32)
    found = guesses(output, asked("multi_class:probabilities"), None, top=1)
    assert found[0]["probability"] == pytest.approx(0.7)


def test_one_logit_is_yes_or_no_and_a_quantity_is_itself() -> None:
    output = np.array([[math.log(4)]], np.float32)
    yes, no = guesses(output, asked("binary", (1,)), ["no", "yes"], top=5)
    assert (yes["name"], no["name"]) == ("yes", "no")
    assert yes["probability"] == pytest.approx(0.8)
    (value,) = guesses(output, asked("regression", (1,)), None, top=5)
    assert (value["probability"], value["value"]) == (None, pytest.approx(math.log(4)))


@pytest.mark.trust(
    item=8,
    case="predict on a segmentation model",
    before="verified, then refused: 'the model's output has shape (10, 30, 30)'",
    now="the share of the pixels of each class",
)
def test_dense_output_is_the_share_of_pixels_of_each_class() -> None:
    output = np.zeros((1, 3, 2, 2), np.float32)
    output[0, 2] = 1
    output[0, 1, 0, 0] = 2
    found = guesses(output, task_of_shape((3, 2, 2)), None, top=5)
    assert [(guess["index"], guess["share"]) for guess in found] == [(2, 0.75), (1, 0.25)]


def test_sigmoid_never_overflows() -> None:
    assert sigmoid(np.array([-1000, 0, 1000], np.float32)).tolist() == [0, 0.5, 1]


def test_task_stands_above_the_predictions() -> None:
    words = task_of_shape((3,)).words
    prediction = {
        "image": "a.png",
        "classes": guesses(LOGITS, asked("multi_label"), None, 1),
        "task_words": words,
    }
    header, table = prediction_report([prediction]).sections
    assert "task: multi_class over logits (assumed)" in str(header)
    assert "75.0%" in str(table)
