"""Pieces of Vega-Lite that several charts share.

A specification says nothing of colours: the page chooses them for a light and a dark ground, and
pictures take those of the light one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from deploybench.pages.page import Spec
from deploybench.report.table import Column, Table, table_of
from deploybench.results.verdict import Verdict

HEIGHT = 340
LIGHT = (
    *("#1f5fbf", "#c2570c", "#147d64", "#a11d6b"),
    *("#6b5b00", "#5b3fb3", "#0b7285", "#7a4b2a"),
)
"""Colours of names on a light ground: each is told from the ground by 4.5 to 1 or more."""
DARK = (
    *("#7db3ff", "#ffa862", "#5fd3b0", "#ff8ac6"),
    *("#e0cf5a", "#b9a3ff", "#63d0e6", "#d3a27f"),
)
QUIET = "#808890"
"""Of what stands beside the figures; seen on both grounds."""
FEW_NAMES = "few-names"
"""Of a layer of names that have room on a narrow screen as well; charts.js leaves out others."""
LOGARITHMIC_FROM = 8.0
"""Figures of which the largest is so many times the smallest are drawn on a logarithmic scale."""


def scale_of(values: Sequence[float]) -> Spec:
    """A scale on which all of the values can be told apart, without a zero that says nothing."""
    positive = [value for value in values if value > 0]
    all_positive = bool(positive) and len(positive) == len(values)
    if all_positive and max(positive) / min(positive) > LOGARITHMIC_FROM:
        return {"type": "log", "nice": False, "padding": 24}
    return {"zero": False, "nice": True, "padding": 16}


def rounded(value: float) -> float:
    """With as many digits as anybody sees: a page may hold thousands of them."""
    return float(f"{value:.6g}")


def quantity(field: str, title: str, scale: Spec | None = None, **more: Any) -> dict[str, Any]:
    """A channel for a number."""
    channel: dict[str, Any] = {"field": field, "type": "quantitative", "title": title, **more}
    if scale is not None:
        channel["scale"] = dict(scale)
    return channel


def name(field: str, title: str, order: Sequence[str] | None = None, **more: Any) -> dict[str, Any]:
    """A channel for names, in the order in which they first came."""
    channel: dict[str, Any] = {"field": field, "type": "nominal", "title": title, **more}
    if order is not None:
        channel["scale"] = {"domain": list(order)}
        channel["sort"] = list(order)
    return channel


def shown(field: str, title: str, pattern: str = "") -> dict[str, Any]:
    """A line of what is shown when the pointer rests on a mark; numbers by d3's ``pattern``."""
    if pattern:
        return {"field": field, "type": "quantitative", "title": title, "format": pattern}
    return {"field": field, "type": "nominal", "title": title}


def on_its_own(field: str, title: str, order: Sequence[str]) -> dict[str, Any]:
    """Colour and shape of one name together: nobody has to tell colours apart."""
    return {"color": name(field, title, order), "shape": name(field, title, order)}


def points_by_verdict(
    values: Sequence[Mapping[str, Any]], encoding: Mapping[str, Any], *, size: int
) -> list[dict[str, Any]]:
    """A mark for each value; hollow are those whose ``verdict`` is not VALID."""
    valid = Verdict.VALID.value
    layers: list[dict[str, Any]] = []
    # A layer without a mark has no extent, of which Vega warns.
    for test, filled in (("===", True), ("!==", False)):
        if any((value["verdict"] == valid) is filled for value in values):
            layers.append(
                {
                    "transform": [{"filter": f"datum.verdict {test} '{valid}'"}],
                    "mark": {"type": "point", "filled": filled, "size": size, "strokeWidth": 2},
                    "encoding": dict(encoding),
                }
            )
    return layers


def order_of(values: Sequence[Mapping[str, Any]], field: str, known: Sequence[str]) -> list[str]:
    """The names that occur, those of ``known`` in its order, so that a runner keeps its colour."""
    occurring = list(dict.fromkeys(str(value[field]) for value in values))
    ordered = [one for one in known if one in occurring]
    return [*ordered, *(one for one in occurring if one not in ordered)]


def table_of_values(
    values: Sequence[Mapping[str, Any]],
    *columns: tuple[str, str] | tuple[str, str, Callable[[Any], str]],
) -> Table:
    """The data of a chart as a table: key and title of each column; numbers with how each is
    written."""
    made = []
    for column in columns:
        made.append(_column(*column))
    return table_of(made, list(values))


def _column(
    key: str, title: str, write: Callable[[Any], str] | None = None
) -> Column[Mapping[str, Any]]:
    if write is None:
        return Column(key, title, lambda value: str(value[key]))
    return Column(key, title, lambda value: write(value[key]), number=True)
