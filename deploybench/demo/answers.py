"""What the page shows of two sides that looked at one image: words and rows, no layout."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.demo.questions import Seen, SeenClass
from deploybench.inert import inert, no_formula, shortened
from deploybench.plurals import counted

NOT_THERE = "–"
LARGE_MS = 100
SMALLEST_POINTS = 0.005
"""A difference below this is told as none: it would round to zero."""


@dataclass(frozen=True)
class Shown:
    """One side as the page shows it: classes with their scores, and a line of facts."""

    scores: dict[str, float]
    facts: str


def shown(seen: Seen, measured: str = "") -> Shown:
    """One side, with its time as it was ``measured``, in words. Names of classes come from files of
    others: they are made inert."""
    if seen.error is not None:
        return Shown({}, f"No answer: {inert(seen.error)}")
    scores = {_name(one): one.score for one in seen.classes if one.score is not None}
    facts = []
    if seen.call_ms is not None:
        calls = counted(seen.calls, "call")
        digits = 0 if seen.call_ms >= LARGE_MS else 1
        time = f"{seen.call_ms:,.{digits}f} ms"
        facts.append(f"{time} a call (median of {calls} just now: no measurement)")
    if measured:
        facts.append(inert(measured))
    if not scores:
        facts += [f"{_name(one)}: {one.value:.4g}" for one in seen.classes if one.value is not None]
    facts += [inert(note) for note in seen.notes]
    return Shown(scores, "; ".join(facts))


def difference_rows(one: Seen, other: Seen) -> list[list[str]]:
    """Name, score on one side, score on the other, and by how much they differ, the largest
    difference first. A class that one side does not tell has no score there."""
    return [
        [no_formula(row.name), _percent(row.left), _percent(row.right), _points(row.apart)]
        for row in _differences(one, other)
    ]


def verdict_words(one: Seen, other: Seen) -> str:
    """Whether both sides say the same, in a sentence; empty where one of them says nothing."""
    if one.error is not None or other.error is not None or not one.classes or not other.classes:
        return ""
    words = "The sides have different first classes"
    if one.classes[0].name == other.classes[0].name:
        words = "Both sides have the same first class"
    known = [row for row in _differences(one, other) if row.apart is not None]
    if not known:
        return f"{words}."
    return f"{words}; probabilities differ by {_points(known[0].apart)} at most."


@dataclass(frozen=True)
class _Difference:
    name: str
    left: float | None
    right: float | None

    @property
    def apart(self) -> float | None:
        if self.left is None or self.right is None:
            return None
        return self.left - self.right


def _differences(one: Seen, other: Seen) -> list[_Difference]:
    """The classes of both sides; those that both tell first, the largest difference before."""
    left = {_name(seen): seen.score for seen in one.classes if seen.score is not None}
    right = {_name(seen): seen.score for seen in other.classes if seen.score is not None}
    names = dict.fromkeys([*left, *right])
    rows = [_Difference(name, left.get(name), right.get(name)) for name in names]
    return sorted(rows, key=lambda row: -1.0 if row.apart is None else abs(row.apart), reverse=True)


def picture_of(sides: Sequence[Seen]) -> npt.NDArray[np.uint8] | None:
    """What the model of the first side saw, as pixels; None where no side saw anything."""
    from PIL import Image

    for seen in sides:
        if seen.picture:
            with Image.open(io.BytesIO(base64.b64decode(seen.picture))) as image:
                return np.asarray(image.convert("RGB"))
    return None


def _name(one: SeenClass) -> str:
    return shortened(inert(one.name))


def _percent(score: float | None) -> str:
    return NOT_THERE if score is None else f"{score:.2%}"


def _points(apart: float | None) -> str:
    if apart is None:
        return NOT_THERE
    if abs(100 * apart) < SMALLEST_POINTS:
        return "< 0.01 points"
    return f"{100 * apart:+.2f} points"
