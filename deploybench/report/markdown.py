"""Sheets as GitHub-flavoured Markdown, for a pull request or a job summary."""

from __future__ import annotations

import re

from deploybench.report.sheet import Sheet


def sheet_markdown(sheet: Sheet) -> str:
    """One table with the groups in its first column and the notes in its last, then the legend."""
    alignments = [
        "---",
        *("---" if column in sheet.words else "---:" for column in sheet.columns),
        "---",
    ]
    lines = [_row(["", *sheet.columns, "why"]), f"| {' | '.join(alignments)} |"]
    lines += [_row([line.group, *line.cells, line.note]) for line in sheet.lines]
    return "\n".join([*lines, "", f"<sub>{escape(sheet.legend)}</sub>"])


def escape(text: str) -> str:
    """Text that Markdown shows as it is, within a table too: a bar would end the cell, a line break
    the row."""
    return re.sub(r"([\\`*|<>\[\]])", r"\\\1", " ".join(text.split()))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
