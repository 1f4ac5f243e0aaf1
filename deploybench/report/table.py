"""The one neutral table: every command declares one, every printer prints it.

A command says what its columns are (:class:`Column`: how a cell is written, what it is as data,
how it is coloured, how soon it may leave the line when there is no room) and which rows it has.
:func:`table_of` reads the rows once. The result knows neither a terminal nor a file format:
``terminal.py``, ``markdown.py`` and ``data.py`` print it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Generic, TypeVar

from deploybench.inert import inert

R = TypeVar("R")
NOTHING = "–"
"""Stands where there is no figure."""
NOT_KNOWN = "n/a"
"""Stands where there could be a figure, and it may not be shown; a note or the legend says why."""


class Style(Enum):
    """What a text is to its reader; each printer chooses how that looks."""

    PLAIN = "plain"
    STRONG = "strong"
    FAINT = "faint"
    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"
    MARKED = "marked"


class Format(str, Enum):
    """How a command prints its table."""

    TABLE = "table"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def _plain(_: Any) -> Style:
    return Style.PLAIN


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column of a table whose rows are of type ``R``.

    ``key`` names it in CSV and JSON; ``title`` and ``unit`` head it. ``show`` writes the cell,
    ``value`` gives the same as data (None: what ``show`` writes). ``number`` aligns it to the
    right. ``folds`` marks running text, which may be folded between words. When lines are too long
    for the page, the columns of the largest ``priority`` leave the line first and are printed
    below it; the first column never leaves.
    """

    key: str
    title: str
    show: Callable[[R], str]
    value: Callable[[R], object] | None = None
    unit: str = ""
    number: bool = False
    folds: bool = False
    priority: int = 1
    style: Callable[[R], Style] = _plain

    @property
    def heading(self) -> str:
        return f"{self.title} {self.unit}".strip()

    @property
    def inert(self) -> Column[R]:
        """The same with a heading that is only seen (:mod:`deploybench.inert`)."""
        return replace(self, title=inert(self.title), unit=inert(self.unit))

    def data(self, row: R) -> object:
        return self.show(row) if self.value is None else self.value(row)


@dataclass(frozen=True)
class Cell:
    """What one line says in one column."""

    text: str
    style: Style = Style.PLAIN

    @property
    def inert(self) -> Cell:
        return Cell(inert(self.text), self.style)


@dataclass(frozen=True)
class Note:
    """Why a line is not what was hoped for, and what to do about it.

    Lines with the same ``cause`` share one note. ``detail`` says the same with the line's own
    figures; it is shown where no other line shares the cause. ``shared_advice`` takes the place of
    advices that differ in their figures.
    """

    cause: str
    detail: str = ""
    advice: str = ""
    shared_advice: str = ""

    @property
    def full(self) -> str:
        return self.detail or self.cause

    @property
    def inert(self) -> Note:
        return Note(
            inert(self.cause), inert(self.detail), inert(self.advice), inert(self.shared_advice)
        )


def _advices(notes: Sequence[Note]) -> tuple[str, ...]:
    """Each once; the one that they share instead of several that differ."""
    advices = tuple(dict.fromkeys(note.advice for note in notes if note.advice))
    shared = tuple(dict.fromkeys(note.shared_advice for note in notes if note.shared_advice))
    if len(advices) > 1 and shared:
        return shared
    return advices


@dataclass(frozen=True)
class SharedNote:
    """A cause with the lines that it is about (their names), and all that their notes say."""

    cause: str
    names: tuple[str, ...]
    details: tuple[str, ...]
    advices: tuple[str, ...]

    @property
    def text(self) -> str:
        """The details where all lines say the same, else the cause alone."""
        return self.details[0] if len(self.details) == 1 else self.cause


@dataclass(frozen=True)
class Line:
    """One line: a cell a column. ``name`` is what its notes are about."""

    cells: tuple[Cell, ...]
    name: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def inert(self) -> Line:
        cells = tuple(cell.inert for cell in self.cells)
        return Line(cells, inert(self.name), tuple(note.inert for note in self.notes))


@dataclass(frozen=True)
class Group:
    """Lines that belong together, under a title that may be empty."""

    title: str
    lines: tuple[Line, ...]

    @property
    def inert(self) -> Group:
        return Group(inert(self.title), tuple(line.inert for line in self.lines))


@dataclass(frozen=True)
class Table:
    """Columns, groups of lines, the notes on them and the legend; ``data`` is the same for a
    program: a mapping a line."""

    columns: tuple[Column[Any], ...]
    groups: tuple[Group, ...]
    title: str = ""
    legend: str = ""
    data: tuple[Mapping[str, object], ...] = ()

    @property
    def inert(self) -> Table:
        """The same for a page: every text is only seen. ``data`` stays as it is."""
        return replace(
            self,
            columns=tuple(column.inert for column in self.columns),
            groups=tuple(group.inert for group in self.groups),
            title=inert(self.title),
            legend=inert(self.legend),
        )

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(line for group in self.groups for line in group.lines)

    @property
    def notes(self) -> tuple[SharedNote, ...]:
        """Each cause once, in the order of the lines."""
        by_cause: dict[str, list[tuple[str, Note]]] = {}
        for line in self.lines:
            for note in line.notes:
                by_cause.setdefault(note.cause, []).append((line.name, note))
        return tuple(
            SharedNote(
                cause=cause,
                names=tuple(name for name, _ in members),
                details=tuple(dict.fromkeys(note.full for _, note in members)),
                advices=_advices([note for _, note in members]),
            )
            for cause, members in by_cause.items()
        )


@dataclass(frozen=True)
class Prose:
    """Lines of text before, between or after tables.

    ``verbatim`` lines (commands, paths) are never folded: they are there to be copied.
    """

    lines: tuple[str, ...]
    style: Style = Style.PLAIN
    title: str = ""
    verbatim: bool = False

    @property
    def inert(self) -> Prose:
        lines = tuple(inert(line) for line in self.lines)
        return replace(self, lines=lines, title=inert(self.title))


@dataclass(frozen=True)
class Report:
    """What one command prints: sections for a person, ``data`` for a program (JSON).

    CSV holds the ``data`` of the tables. ``data`` None stands for that of the only table.
    """

    sections: tuple[Table | Prose, ...]
    data: object = field(default=None)

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(section for section in self.sections if isinstance(section, Table))


def table_of(
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    *,
    group: Callable[[R], str] = lambda row: "",
    name: Callable[[R], str] = lambda row: "",
    notes: Callable[[R], Sequence[Note]] = lambda row: (),
    title: str = "",
    legend: str = "",
    data: Callable[[R], Mapping[str, object]] | None = None,
) -> Table:
    """The table of ``rows``. Rows that follow each other and have the same ``group`` stand under
    one title."""
    groups: list[Group] = []
    for row in rows:
        line = Line(
            tuple(Cell(column.show(row), column.style(row)) for column in columns),
            name(row),
            tuple(notes(row)),
        )
        heading = group(row)
        if groups and groups[-1].title == heading:
            groups[-1] = Group(heading, (*groups[-1].lines, line))
        else:
            groups.append(Group(heading, (line,)))

    def by_key(row: R) -> Mapping[str, object]:
        return {column.key: column.data(row) for column in columns}

    entry_of = data or by_key
    entries = tuple(entry_of(row) for row in rows)
    return Table(tuple(columns), tuple(groups), title, legend, entries)


def texts(*keys_and_titles: tuple[str, str]) -> tuple[Column[Sequence[str]], ...]:
    """Columns of rows that are plain texts already, in their order."""

    def cell(index: int) -> Callable[[Sequence[str]], str]:
        return lambda row: row[index]

    return tuple(
        Column(key, title, cell(index)) for index, (key, title) in enumerate(keys_and_titles)
    )
