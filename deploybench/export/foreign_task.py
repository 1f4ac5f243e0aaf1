"""What the main output of a foreign file means: as the user says it, or as its answers show it."""

from __future__ import annotations

import numpy as np

from deploybench.artifacts.artifact import TensorSpec
from deploybench.artifacts.references import Array
from deploybench.artifacts.task import Task, task_asked, task_of_shape

SUM_TOLERANCE = 1e-3
"""Of probabilities over the classes of an image, in float32."""


def task_of_answers(asked: str | None, main: Array, spec: TensorSpec) -> Task:
    """Raises DeployBenchError for a task that does not go with the output."""
    shape = spec.sizes(1)[1:]
    return task_asked(asked, shape, _found(main, spec, shape))


def _found(main: Array, spec: TensorSpec, shape: tuple[int, ...]) -> Task:
    if spec.is_integer:
        kind = "dense" if len(shape) in (2, 3) else "multi_class"
        because = "whole numbers: the model has decided by itself"
        return Task(kind=kind, scores="classes", known="found", because=because)
    if len(shape) >= 1 and main.shape[1] > 1 and not (main < 0).any():
        sums = main.sum(axis=1)
        if bool((np.abs(sums - 1) < SUM_TOLERANCE).all()):
            kind = "multi_class" if len(shape) == 1 else "dense"
            because = "the outputs of an image are probabilities that sum to 1"
            return Task(kind=kind, scores="probabilities", known="found", because=because)
    return task_of_shape(shape)
