"""The other tables: exports, plug-ins, models, profiles, comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

Cellular = str | Text


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[Cellular]], console: Console
) -> None:
    """A plain table; the last column takes what room is left and wraps."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        table.add_column(column, no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(table)


def print_json(rows: Sequence[Mapping[str, object]] | Mapping[str, object]) -> None:
    """The same as data, on standard output."""
    print(json.dumps(rows, indent=1, default=str))


def state(good: bool, words: tuple[str, str] = ("yes", "no")) -> Text:
    return Text(words[0], style="green") if good else Text(words[1], style="red")
