"""Reports as GitHub-flavoured Markdown, for a pull request or a job summary."""

from __future__ import annotations

from typing import Any

from deploybench.inert import fence_around, plain_markdown
from deploybench.report.table import Column, Line, Prose, Report, Style, Table


def report_markdown(report: Report) -> str:
    parts = []
    for section in report.sections:
        if isinstance(section, Table):
            parts.append(table_markdown(section))
        else:
            parts.append(prose_markdown(section))
    return "\n\n".join(part for part in parts if part)


def table_markdown(table: Table) -> str:
    """One table, then its legend.

    Groups stand in the first column and notes in the last one, where there are any.
    """
    table = table.inert
    grouped = any(group.title for group in table.groups)
    noted = any(line.notes for line in table.lines)
    heading = [column.heading for column in table.columns]
    alignments = [_alignment(column) for column in table.columns]
    if grouped:
        heading = ["", *heading]
        alignments = ["---", *alignments]
    if noted:
        heading = [*heading, "why"]
        alignments = [*alignments, "---"]
    rows = [_row(heading), f"| {' | '.join(alignments)} |"]
    for group in table.groups:
        for line in group.lines:
            cells = [cell.text for cell in line.cells]
            if grouped:
                cells = [group.title, *cells]
            if noted:
                cells = [*cells, _note(line)]
            rows.append(_row(cells))
    parts = []
    if table.title:
        parts.append(f"**{escape(table.title)}**")
    if table.lines:
        parts.append("\n".join(rows))
    if table.legend:
        parts.append(f"<sub>{escape(table.legend)}</sub>")
    return "\n\n".join(parts)


def prose_markdown(prose: Prose) -> str:
    prose = prose.inert
    lines = [escape(line) for line in prose.lines]
    if prose.verbatim and prose.lines:
        # As code: nothing in it is Markdown, and it can be copied as it is.
        fence = fence_around(prose.lines)
        lines = [fence, *prose.lines, fence]
    elif prose.verbatim:
        lines = []
    elif prose.style is Style.STRONG:
        lines = [f"**{line}**" for line in lines]
    elif prose.style is Style.FAINT:
        lines = [f"<sub>{line}</sub>" for line in lines]
    # Two spaces at the end of a line break it there.
    between = "  \n"
    if prose.verbatim:
        between = "\n"
    body = between.join(lines)
    if prose.title:
        return f"**{escape(prose.title)}**\n\n{body}"
    return body


def escape(text: str) -> str:
    """Text that Markdown shows as it is.

    Within a table, too: there a bar would end the cell, and a line break the row. Marks of a
    heading or of a list count at the beginning of a line only. What looks like an address becomes a
    link on GitHub all the same; it leads to where it says.
    """
    return plain_markdown(text)


def _note(line: Line) -> str:
    parts = []
    for note in line.notes:
        part = note.full
        if note.advice:
            part += f" → {note.advice}"
        parts.append(part)
    return "; ".join(parts)


def _alignment(column: Column[Any]) -> str:
    """Of a column, as the line below the heading tells it: numbers to the right."""
    if column.number:
        return "---:"
    return "---"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
