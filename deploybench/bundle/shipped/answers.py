"""What the model's main output says of an image, as bundle.json's task has it."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def answers_of(
    output: Array, task: dict[str, str], labels: list[str] | None, top: int = 5
) -> list[dict[str, Any]]:
    """The ``top`` answers of one image; output: (1, ...), the main output of that image."""
    if task["kind"] == "dense":
        return shares(output, task, labels, top)
    if task["scores"] == "classes" and task["kind"] == "multi_class":
        index = int(output.reshape(-1)[0])
        return [{"index": index, "name": name_of(index, labels)}]
    numbers = probabilities(output, task).reshape(-1)
    if task["scores"] == "values":
        values = enumerate(numbers[:top].tolist())
        return [
            {"index": index, "name": name_of(index, labels, "output"), "value": value}
            for index, value in values
        ]
    if len(numbers) == 1:  # yes or no, by one probability
        numbers = np.array([1 - numbers[0], numbers[0]])
    order = np.argsort(-numbers, kind="stable")[:top].tolist()
    return [
        {"index": index, "name": name_of(index, labels), "probability": float(numbers[index])}
        for index in order
    ]


def probabilities(output: Array, task: dict[str, str]) -> Array:
    """A softmax or a sigmoid over logits; what is no logit stays as it is. In output's shape."""
    numbers = output.astype(np.float64)
    if task["scores"] != "logits":
        return numbers
    alone = output.ndim < 2 or output.shape[1] == 1
    if task["kind"] == "multi_label" or alone:
        small = np.exp(-np.abs(numbers))
        sigmoid: Array = np.where(output >= 0, 1 / (1 + small), small / (1 + small))
        return sigmoid
    exponents = np.exp(numbers - output.max(axis=1, keepdims=True))
    softmax: Array = exponents / exponents.sum(axis=1, keepdims=True)
    return softmax


def shares(
    output: Array, task: dict[str, str], labels: list[str] | None, top: int
) -> list[dict[str, Any]]:
    """The classes of most pixels with their shares; of values a pixel, their mean."""
    if task["scores"] == "values":
        return [{"index": 0, "name": "mean over the pixels", "value": float(output.mean())}]
    if task["scores"] == "classes":
        pixels = np.rint(output).astype(np.int64)
    elif output.ndim == 4 and output.shape[1] > 1:
        pixels = output.argmax(axis=1)
    else:
        pixels = (probabilities(output, task) >= 0.5).astype(np.int64)
    classes, counts = np.unique(pixels, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:top]
    return [
        {
            "index": int(classes[index]),
            "name": name_of(int(classes[index]), labels),
            "share": float(counts[index] / counts.sum()),
        }
        for index in order
    ]


def name_of(index: int, labels: list[str] | None, word: str = "class") -> str:
    """The name of a class, or its number where there is none."""
    if labels and 0 <= index < len(labels):
        return labels[index]
    return f"{word} {index}"
