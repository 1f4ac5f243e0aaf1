"""A sheet: lines in groups, with a note on the lines that need one.

The terminal and Markdown print the same sheet.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Line:
    """One line of a sheet.

    ``name`` is what its note is about; the note is empty where nothing is to be said. ``style``
    colours the last of ``cells``.
    """

    group: str
    name: str
    cells: tuple[str, ...]
    style: str
    note: str


@dataclass(frozen=True)
class Sheet:
    """``columns`` name the cells; ``words`` are columns of text, the others hold numbers.
    ``legend`` explains them."""

    columns: tuple[str, ...]
    words: tuple[str, ...]
    lines: tuple[Line, ...]
    legend: str


def print_sheet(sheet: Sheet, console: Console) -> None:
    """A table a group, then the notes (one that lines share is said once), then the legend."""
    notes = list(dict.fromkeys(line.note for line in sheet.lines if line.note))
    for group, lines in groupby(sheet.lines, key=lambda line: line.group):
        console.print(Text(f"\n{group}", style="bold"))
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for column in sheet.columns:
            words = column in sheet.words
            table.add_column(
                column, justify="left" if words else "right", no_wrap=not words, overflow="fold"
            )
        for line in lines:
            mark = f" [{notes.index(line.note) + 1}]" if line.note else ""
            table.add_row(
                *(Text(cell) for cell in line.cells[:-1]),
                Text(line.cells[-1] + mark, style=line.style),
            )
        console.print(table)
    for number, note in enumerate(notes, 1):
        names = dict.fromkeys(line.name for line in sheet.lines if line.note == note)
        console.print(Text(f"[{number}] {', '.join(names)}: {note}"))
    console.print(Text(sheet.legend, style="dim"))
