"""From a model's outputs to what a user reads, as the task in the manifest says.

A softmax goes over logits of classes of which an image has one, a sigmoid over each logit where it
may have any number; what is a probability already, or a quantity, stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Manifest
from deploybench.artifacts.task import Task, task_of_shape

Array = npt.NDArray[np.float32]
Answers = npt.NDArray[np.float64]


def softmax(logits: Array, axis: int = -1) -> Answers:
    """Probabilities over an axis, the last by default, in the shape of ``logits``."""
    # less the largest, which cancels: no exponent overflows
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=axis, keepdims=True))
    probabilities: Answers = exponents / exponents.sum(axis=axis, keepdims=True)
    return probabilities


def sigmoid(logits: Array) -> Answers:
    """The probability of each logit by itself, in the shape of ``logits``."""
    # By the exponent that is at most 1: no other one overflows.
    small = np.exp(-np.abs(logits.astype(np.float64)))
    probabilities: Answers = np.where(logits >= 0, 1 / (1 + small), small / (1 + small))
    return probabilities


def task_in(manifest: Manifest) -> Task:
    """The manifest's task; of one that was written before there were tasks, what is assumed."""
    if manifest.task is not None:
        return manifest.task
    sizes = manifest.outputs[0].sizes(1)
    return task_of_shape(sizes[1:])


def main_output(outputs: Mapping[str, Array], manifest: Manifest) -> Array:
    """The main one of a session's outputs, by its name, else the first."""
    name = manifest.outputs[0].name
    if name in outputs:
        return outputs[name]
    return next(iter(outputs.values()))


def answers(output: Array, task: Task) -> Answers:
    """What the numbers of the main output (images, …) say, in its shape.

    Probabilities where the task has them; of a dense output over dimension 1, or as they are where
    there is one number a pixel. Numbers of classes and quantities as they are.
    """
    if task.scores != "logits":
        return output.astype(np.float64)
    alone = output.ndim < 2 or output.shape[1] == 1
    if task.kind == "multi_label" or alone:
        return sigmoid(output)
    return softmax(output, axis=1)


def classes_of_pixels(output: Array, task: Task) -> npt.NDArray[np.int64]:
    """The class of each pixel of a dense output (images, classes, height, width), or (images,
    height, width) of numbers of classes: (images, height, width).

    One score a pixel is class 1 from a probability of one half on.
    """
    if task.scores == "classes":
        return np.rint(output).astype(np.int64).reshape(len(output), *output.shape[-2:])
    if output.ndim == 4 and output.shape[1] > 1:
        classes: npt.NDArray[np.int64] = output.argmax(axis=1)
        return classes
    probabilities = answers(output, task).reshape(len(output), *output.shape[-2:])
    return (probabilities >= 0.5).astype(np.int64)
