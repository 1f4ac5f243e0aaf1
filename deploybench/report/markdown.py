"""Reports as GitHub-flavoured Markdown, for a pull request or a job summary."""

from __future__ import annotations

import re

from deploybench.report.table import Line, Prose, Report, Style, Table


def report_markdown(report: Report) -> str:
    parts = [
        table_markdown(section) if isinstance(section, Table) else prose_markdown(section)
        for section in report.sections
    ]
    return "\n\n".join(part for part in parts if part)


def table_markdown(table: Table) -> str:
    """One table with the groups in its first column and the notes in its last, where there are
    any, then the legend."""
    grouped = any(group.title for group in table.groups)
    noted = any(line.notes for line in table.lines)
    heading = [column.heading for column in table.columns]
    alignments = ["---:" if column.number else "---" for column in table.columns]
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
    parts = [f"**{escape(table.title)}**"] if table.title else []
    parts += ["\n".join(rows)] if table.lines else []
    parts += [f"<sub>{escape(table.legend)}</sub>"] if table.legend else []
    return "\n\n".join(parts)


def prose_markdown(prose: Prose) -> str:
    lines = [escape(line) for line in prose.lines]
    if prose.verbatim:
        # As code: nothing in it is Markdown, and it can be copied as it is.
        lines = ["```", *prose.lines, "```"] if prose.lines else []
    elif prose.style is Style.STRONG:
        lines = [f"**{line}**" for line in lines]
    elif prose.style is Style.FAINT:
        lines = [f"<sub>{line}</sub>" for line in lines]
    title = [f"**{escape(prose.title)}**", ""] if prose.title else []
    between = "\n" if prose.verbatim else "  \n"
    return "\n".join(title) + ("\n" if title else "") + between.join(lines)


def escape(text: str) -> str:
    """Text that Markdown shows as it is, within a table too: a bar would end the cell, a line break
    the row."""
    return re.sub(r"([\\`*|<>\[\]])", r"\\\1", " ".join(text.split()))


def _note(line: Line) -> str:
    parts = [f"{note.full} → {note.advice}" if note.advice else note.full for note in line.notes]
    return "; ".join(parts)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
