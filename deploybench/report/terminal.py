"""Prints reports on a terminal of any width.

When a table is too wide its columns move closer together, then its running text is folded between
words, then the columns that matter least leave the line and are printed below it. No column
disappears and no word is cut: a word that is longer than the page stays whole. (Words of over 100
characters are none of ours; in a table they are shortened.) Whatever the words hold is only seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from deploybench.inert import shortened
from deploybench.plurals import counted
from deploybench.report.table import NOTHING, Cell, Line, Prose, Report, SharedNote, Style, Table

LOOKS = {
    Style.PLAIN: "",
    Style.STRONG: "bold",
    Style.FAINT: "dim",
    Style.GOOD: "green",
    Style.DOUBTFUL: "yellow",
    Style.BAD: "bold red",
    Style.MARKED: "bold magenta",
}
GAPS = (2, 1)
"""Spaces between columns: the usual ones, and the fewest."""
LEAST_FOLDED = 24
"""Running text is not folded into columns narrower than this."""
INDENT = 4
SEPARATOR = " · "
FEW_NAMES = 3
"""Notes on more lines than this say how many there are instead of naming them."""


@dataclass(frozen=True)
class Layout:
    """Which columns stand in the line, how wide each is, and how far apart; the others go below."""

    in_line: tuple[int, ...]
    widths: tuple[int, ...]
    gap: int
    below: tuple[int, ...]


def print_sections(report: Report, console: Console) -> None:
    """All sections, with an empty line between them."""
    for number, section in enumerate(report.sections):
        if number > 0:
            _put(Text(""), console)
        if isinstance(section, Table):
            print_table(section, console)
        else:
            print_prose(section, console)


def print_prose(prose: Prose, console: Console) -> None:
    prose = prose.inert
    if prose.title:
        _put(Text(prose.title, style="bold"), console)
    for line in prose.lines:
        parts = [line]
        if not prose.verbatim:
            parts = fold(line, console.width)
        for part in parts:
            _put(Text(part, style=LOOKS[prose.style]), console)


def print_table(table: Table, console: Console) -> None:
    """The title, the groups, the notes and the legend."""
    table = table.inert
    if table.title:
        _put(Text(table.title, style="bold"), console)
    if not table.lines:
        return
    numbers = {note.cause: number for number, note in enumerate(table.notes, 1)}
    rows = [_texts(line, numbers) for line in table.lines]
    layout = lay_out(table, rows, console.width)
    titled = any(group.title for group in table.groups)
    remaining = iter(rows)
    for number, group in enumerate(table.groups):
        if titled and number > 0:
            _put(Text(""), console)
        if group.title:
            _put_folded(group.title, "bold", console)
        _print_heading(table, layout, console, ruled=not titled)
        for _ in group.lines:
            _print_line(table, next(remaining), layout, console)
    if table.notes or table.legend:
        _put(Text(""), console)
    _print_notes(table.notes, console)
    if table.legend:
        _put_folded(table.legend, "dim", console)


def fold(text: str, width: int, indent: int = 0) -> list[str]:
    """The text in lines of at most ``width``, folded between words.

    Lines after the first are indented; an indentation of the text itself is kept on all of them.
    """
    margin = text[: len(text) - len(text.lstrip(" "))]
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if not word and not line:
            continue
        if not line:
            line = margin + word
        elif cell_len(f"{line} {word}") <= width:
            line = f"{line} {word}"
        else:
            lines.append(line)
            line = margin + " " * indent + word
    return [*lines, line]


def lay_out(table: Table, rows: Sequence[Sequence[Cell]], width: int) -> Layout:
    """The layout that keeps as many columns in the line as there is room for."""
    in_line = list(range(len(table.columns)))
    below: list[int] = []
    while True:
        # Closer together first, then folded; only then does a column leave the line.
        for gap, folding in ((GAPS[0], False), (GAPS[1], False), (GAPS[0], True)):
            widths = _widths(table, rows, in_line, width - gap * (len(in_line) - 1), folding)
            if widths is not None:
                return Layout(tuple(in_line), widths, gap, tuple(sorted(below)))
        if len(in_line) == 1:
            longest = (_width_of(table, rows, 0),)
            return Layout((0,), longest, GAPS[0], tuple(sorted(below)))
        # The last of those that matter least.
        leaving = max(in_line[1:], key=lambda index: (table.columns[index].priority, index))
        in_line.remove(leaving)
        below.append(leaving)


def _widths(
    table: Table, rows: Sequence[Sequence[Cell]], in_line: Sequence[int], room: int, folding: bool
) -> tuple[int, ...] | None:
    """The width of each column in the line, or None where there is no room for them."""
    widths = [_width_of(table, rows, index) for index in in_line]
    excess = sum(widths) - room
    if excess <= 0:
        return tuple(widths)
    if not folding:
        return None
    # The least width of each column of running text, by its position in the line.
    least: dict[int, int] = {}
    for position, index in enumerate(in_line):
        if table.columns[index].folds:
            least[position] = _least_width(table, rows, index)
    # The widest running text gives way first, so that long texts end up equally wide.
    while excess > 0:
        yielding = [position for position in least if widths[position] > least[position]]
        if not yielding:
            return None
        widest = max(yielding, key=lambda position: widths[position])
        widths[widest] -= 1
        excess -= 1
    return tuple(widths)


def _width_of(table: Table, rows: Sequence[Sequence[Cell]], index: int) -> int:
    heading = cell_len(table.columns[index].heading)
    return max([heading, *(cell_len(row[index].text) for row in rows)])


def _least_width(table: Table, rows: Sequence[Sequence[Cell]], index: int) -> int:
    """The longest word, so that none is cut, and enough for a few words."""
    words = table.columns[index].heading.split()
    for row in rows:
        words += row[index].text.split()
    longest = max((cell_len(word) for word in words), default=0)
    return max(LEAST_FOLDED, longest)


def _texts(line: Line, numbers: dict[str, int]) -> list[Cell]:
    """The cells of a line, the last one with the numbers of its notes."""
    cells = [Cell(shortened(cell.text), cell.style) for cell in line.cells]
    if line.notes:
        last = cells[-1]
        marks = ", ".join(str(numbers[note.cause]) for note in line.notes)
        cells[-1] = Cell(f"{last.text} [{marks}]", last.style)
    return cells


def _print_heading(table: Table, layout: Layout, console: Console, *, ruled: bool) -> None:
    cells = [Cell(column.heading, Style.STRONG) for column in table.columns]
    if not any(cell.text for cell in cells):
        return
    for text in _folded_line(table, cells, layout):
        _put(text, console)
    if ruled:
        length = sum(layout.widths) + layout.gap * (len(layout.widths) - 1)
        _put(Text("─" * min(length, console.width), style="dim"), console)


def _print_line(table: Table, cells: Sequence[Cell], layout: Layout, console: Console) -> None:
    for text in _folded_line(table, cells, layout):
        _put(text, console)
    indent = min(INDENT, console.width // 8)
    for part in _flow(_pairs_below(table, cells, layout), console.width - indent):
        _put(Text(" " * indent + part), console)


def _pairs_below(table: Table, cells: Sequence[Cell], layout: Layout) -> list[str]:
    """The heading and the text of each column that left the line; none where all say nothing."""
    pairs = []
    says_something = False
    for index in layout.below:
        text = cells[index].text
        if text:
            pairs.append(f"{table.columns[index].heading} {text}".strip())
        if text not in ("", NOTHING):
            says_something = True
    if not says_something:
        return []
    return pairs


def _flow(pairs: Sequence[str], width: int) -> list[str]:
    """Short texts one after another, as many to a line as there is room for."""
    lines: list[str] = []
    for pair in pairs:
        if lines and cell_len(lines[-1] + SEPARATOR + pair) <= width:
            lines[-1] += SEPARATOR + pair
        else:
            lines += fold(pair, width, indent=2)
    return lines


def _folded_line(table: Table, cells: Sequence[Cell], layout: Layout) -> list[Text]:
    """The columns in the line beside each other; a cell of several lines makes several texts."""
    columns = [
        fold(cells[index].text, width)
        for index, width in zip(layout.in_line, layout.widths, strict=True)
    ]
    height = max(len(parts) for parts in columns)
    lines = []
    for row in range(height):
        text = Text()
        for index, width, parts in zip(layout.in_line, layout.widths, columns, strict=True):
            part = ""
            if row < len(parts):
                part = parts[row]
            padding = " " * max(width - cell_len(part), 0)
            if text or index != layout.in_line[0]:
                text.append(" " * layout.gap)
            # Numbers stand to the right of their padding, texts to the left.
            if table.columns[index].number:
                text.append(padding)
                text.append(part, style=LOOKS[cells[index].style])
            else:
                text.append(part, style=LOOKS[cells[index].style])
                text.append(padding)
        text.rstrip()
        lines.append(text)
    return lines


def _print_notes(notes: Sequence[SharedNote], console: Console) -> None:
    """Each cause once: which lines it is about; below them what to do."""
    for number, note in enumerate(notes, 1):
        names = list(dict.fromkeys(name for name in note.names if name))
        if len(note.names) > FEW_NAMES or not names:
            about = counted(len(note.names), "row")
        else:
            about = ", ".join(names)
        for part in fold(f"[{number}] {about}: {note.text}", console.width, indent=INDENT):
            _put(Text(part), console)
    # Each advice once, with the numbers of all the notes that give it.
    concerned: dict[str, list[str]] = {}
    for number, note in enumerate(notes, 1):
        for advice in note.advices:
            concerned.setdefault(advice, []).append(str(number))
    for advice, numbers in concerned.items():
        text = f"→ [{', '.join(numbers)}] {advice}"
        for part in fold(text, console.width, indent=2):
            _put(Text(part, style="dim"), console)


def _put_folded(text: str, style: str, console: Console) -> None:
    for part in fold(text, console.width):
        _put(Text(part, style=style), console)


def _put(text: Text, console: Console) -> None:
    """As it is: what is too long for the page is the terminal's to break."""
    console.print(text, soft_wrap=True, crop=False, overflow="ignore", no_wrap=True)
