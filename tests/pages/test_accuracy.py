"""Accuracy against latency on the page: names of the front, and where they stand."""

from __future__ import annotations

from typing import Any

from deploybench.pages.accuracy_chart import MOST_BESIDE, accuracy_view
from deploybench.pages.machines import machines_of
from deploybench.pages.specs import FEW_NAMES
from tests.pages import made
from tests.qualities import quality

ALIKE = {"pytorch": 1.0005, "onnxruntime": 1.0}
"""Runners and their times in ms: neither is clearly the faster one."""


def marks_and_names(models: int) -> tuple[list[dict[str, Any]], str]:
    """The marks of so many models on two runners that are equally fast, each model more accurate
    and slower than the one before it; and what the layer of names is called."""
    records = []
    for number in range(models):
        right = [True] * (20 + 10 * number) + [False] * (80 - 10 * number)
        for runner, ms in ALIKE.items():
            cell = made.visited(
                ms * 2.0**number,
                model=f"model {number}",
                runner=runner,
                artifact_key=f"{number}{runner}",
            )
            records.append(cell.replaced(quality=quality(right, eager=right)))
    (machine,) = machines_of(records, None, 0.02)
    view = accuracy_view(machine.runs[0], "", list(ALIKE))
    assert view is not None
    (texts,) = [layer for layer in view.spec["layer"] if layer["mark"]["type"] == "text"]
    return list(view.spec["data"]["values"]), texts["name"]


def fastest(marks: list[dict[str, Any]], model: str) -> str:
    members = [mark for mark in marks if mark["model"] == model]
    return str(min(members, key=lambda mark: float(mark["ms"]))["runner"])


def test_each_model_of_the_front_is_named_once_at_its_fastest_mark() -> None:
    marks, _ = marks_and_names(3)
    assert all(mark["front"] for mark in marks)
    named = [mark for mark in marks if mark["label"]]
    assert sorted(mark["label"] for mark in named) == ["model 0", "model 1", "model 2"]
    assert all(mark["runner"] == fastest(marks, mark["model"]) for mark in named)
    # The first one has no room to its left.
    sides = [mark["align"] for mark in sorted(named, key=lambda mark: float(mark["ms"]))]
    assert sides == ["left", "right", "right"]


def test_names_stand_on_a_narrow_screen_as_long_as_they_have_room() -> None:
    _, few = marks_and_names(MOST_BESIDE)
    _, many = marks_and_names(MOST_BESIDE + 1)
    assert few == FEW_NAMES
    assert many != FEW_NAMES
