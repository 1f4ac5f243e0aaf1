"""What the page shows of two sides that looked at one image: words and rows, no layout."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.demo.questions import Looked, Seen, SeenClass
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
    for seen in sides:
        if seen.picture:
            return _pixels(seen.picture)
    return None


@dataclass(frozen=True)
class Overlay:
    """A map over the image as pixels, None where there is none, and what the page says of it."""

    picture: npt.NDArray[np.uint8] | None
    words: str


GRAD_CAM_CHOICE = "Grad-CAM"
ATTENTION_CHOICE = "attention"


def overlay_of(looked: Looked, seen: Seen, wanted: str) -> Overlay:
    """The map that was ``wanted`` of one side's source, beside what its artifact answered.

    Of attention the rollout where there is one, else the last of the mechanism's maps. What cannot
    be shown is said instead.
    """
    if seen.error is not None:
        return Overlay(None, "No overlay: there is no answer.")
    if looked.error is not None:
        return Overlay(None, f"No overlay: {inert(looked.error)}")
    maps = {one.name: one for one in looked.maps}
    chosen = maps.get("Grad-CAM")
    if wanted == ATTENTION_CHOICE:
        of_attention = [one for one in looked.maps if one.name != "Grad-CAM"]
        chosen = of_attention[-1] if of_attention else None
    notes = [inert(note) for note in looked.notes]
    if chosen is None:
        why = "; ".join(notes) or "the model has none"
        return Overlay(None, f"No {wanted} to show: {why}.")
    words = [f"{inert(chosen.name)}: {inert(chosen.what)}. {inert(chosen.limits)}"]
    words.append(_agreeing(looked, seen))
    others = [inert(one.name) for one in looked.maps if one.name != chosen.name]
    if wanted == ATTENTION_CHOICE and len(others) > 1:
        words.append(f"deploybench attend shows more: {', '.join(others)}.")
    words += [f"Not shown: {note}." for note in notes]
    return Overlay(_pixels(chosen.png), " ".join(word for word in words if word))


def _agreeing(looked: Looked, seen: Seen) -> str:
    """Whether the source, which the map is of, answers as the artifact does."""
    if looked.first is None or not seen.classes:
        return ""
    source, artifact = _name(looked.first), _name(seen.classes[0])
    if source == artifact:
        return f"The PyTorch source has the artifact's first class: {source}."
    return f"The PyTorch source has another first class: {source}, the artifact {artifact}."


def _pixels(png: str) -> npt.NDArray[np.uint8]:
    from PIL import Image

    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        return np.asarray(image.convert("RGB"))


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
