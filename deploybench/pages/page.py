"""What a page holds, before it is HTML: sentences, neutral tables, and charts with their words.

A chart is a Vega-Lite specification. Whoever does not see it has its finding as a caption and its
data as a table; so a chart without these cannot be made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from deploybench.inert import inert
from deploybench.report.table import Prose, Table

Spec: TypeAlias = Mapping[str, Any]
"""A Vega-Lite specification, or a part of one."""


@dataclass(frozen=True)
class View:
    """A chart of one run, or of one cell: its name among the others, what it shows in words (a line
    a sentence), its specification, and the same figures as a table."""

    name: str
    caption: str
    spec: Spec
    table: Table


@dataclass(frozen=True)
class About:
    """What a chart is: ``key`` names it in addresses and files, ``short`` in the index;
    ``reading`` says how it is read."""

    key: str
    title: str
    short: str
    reading: str


@dataclass(frozen=True)
class Chart:
    """A chart, of which one view is looked at at a time; ``choice`` says what is chosen."""

    about: About
    views: tuple[View, ...]
    choice: str = "Run"


@dataclass(frozen=True)
class Comparison:
    """A table whose lines can be sorted and filtered.

    Only lines that are alike are sorted among each other: those with the same number in ``alike``,
    which has one for each line. ``commands`` repeat each line.
    """

    key: str
    title: str
    table: Table
    alike: tuple[int, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Folded:
    """A table that is looked at by few: it opens when ``title`` is chosen."""

    title: str
    table: Table


Block: TypeAlias = Prose | Table | Comparison | Chart | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page; its index names it by ``short``."""

    key: str
    title: str
    short: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """All of it. ``sentences`` are the answer; ``about`` says what it is made from."""

    title: str
    about: str
    sentences: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def charts(self) -> tuple[Chart, ...]:
        blocks = [block for section in self.sections for block in section.blocks]
        return tuple(block for block in blocks if isinstance(block, Chart))


def inert_values(values: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The data of a chart with every text in it only seen."""
    return [
        {key: inert(value) if isinstance(value, str) else value for key, value in entry.items()}
        for entry in values
    ]
