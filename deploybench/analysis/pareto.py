"""Which of several things are worth choosing from: those that no other one makes needless.

Each has figures along the same axes, the less the better: a time, bytes, a share of wrong answers.
One dominates another where it is at least as good along every axis, by the values, and *clearly*
better along one: there the intervals have no point in common. So two whose figures differ by less
than is known of them both stay, and what is not dominated is the front (Pareto's).

A figure may be unknown. Two of the same ``kin`` are then taken to be equal in it (the same model in
the same arithmetic gives the same answers, whatever runs it); others cannot be compared.

Nothing dominates itself, however long the way around, as long as not more than one axis has unknown
figures: along an axis that is known, values only fall.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from deploybench.analysis.orders import Known

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Point:
    """One thing to choose: its figure along each axis, the less the better; None: not known."""

    axes: tuple[Known | None, ...]
    kin: Hashable = None


def fewer_is_worse(figure: Known) -> Known:
    """The figure turned round, for an axis along which more is better."""
    return Known(-figure.value, -figure.high, -figure.low)


def dominates(one: Point, other: Point) -> bool:
    """Whether ``one`` makes ``other`` needless."""
    clearly = False
    for mine, others in zip(one.axes, other.axes, strict=True):
        if mine is None or others is None:
            if one.kin is None or one.kin != other.kin:
                return False
            continue
        if mine.value > others.value:
            return False
        clearly = clearly or mine.below(others)
    return clearly


def dominators(points: Mapping[K, Point]) -> dict[K, K | None]:
    """By which other one each is dominated; None for those on the front.

    Of several it is one on the front, where one of these is, and of these the first.
    """
    above: dict[K, Sequence[K]] = {}
    for name, point in points.items():
        above[name] = [other for other, rival in points.items() if dominates(rival, point)]
    found: dict[K, K | None] = {}
    for name, names in above.items():
        on_the_front = [other for other in names if not above[other]]
        found[name] = next(iter([*on_the_front, *names]), None)
    return found
