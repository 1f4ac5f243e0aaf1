"""Diagrams of Mermaid without Mermaid, which is a script that GitHub brings along.

Two forms are drawn, with HTML alone: a flowchart whose subgraphs are floors, and a sequence. Of
others the build says that they are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ARROW = re.compile(r"(\w+) (?:-->|-\.->) (\w+)")
FLOOR = re.compile(r'subgraph \w+ \["(.*)"\]')
WHO = re.compile(r"participant (\w+) as (.*)")
MESSAGE = re.compile(r"(\w+)--?>>(\w+): (.*)")
NOTE = re.compile(r"[Nn]ote (?:over|right of|left of) ([\w,]+): (.*)")
LOOP = re.compile(r"(?:loop|opt|alt) (.*)")


class Diagram(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        form, *lines = [line.strip() for line in self.content if line.strip()]
        name = form.split()[0]
        draw = {"flowchart": floors, "sequenceDiagram": sequence}.get(name)
        if draw is None:
            raise self.error(f"no {name} is drawn; flowchart and sequenceDiagram are")
        try:
            html = draw(lines)
        except ValueError as error:
            raise self.error(str(error)) from error
        return [nodes.raw("", html, format="html")]


def floors(lines: Iterable[str]) -> str:
    """A row of boxes for each floor; below them which box stands on which."""
    rows: list[tuple[str, list[str]]] = []
    arrows: dict[str, list[str]] = {}
    for line in lines:
        if line == "end":
            continue
        if match := FLOOR.fullmatch(line):
            rows.append((match[1], []))
        elif match := ARROW.fullmatch(line):
            arrows.setdefault(match[1], []).append(match[2])
        elif re.fullmatch(r"\w+", line):
            rows[-1][1].append(line)
        else:
            raise ValueError(f"a flowchart of floors, boxes and arrows is drawn; found {line!r}")
    drawn = []
    for title, boxes in rows:
        cells = "".join(f"<code>{escape(box)}</code>" for box in boxes)
        drawn.append(f"<div><p>{escape(title)}</p><div>{cells}</div></div>")
    told = [
        f"<li><code>{escape(upper)}</code> stands on {escape(', '.join(lower))}</li>"
        for upper, lower in arrows.items()
    ]
    summary = "<summary>The main imports, room by room</summary>"
    return (
        f'<div class="floors">{"".join(drawn)}</div>'
        f"<details>{summary}<ul>{''.join(told)}</ul></details>"
    )


def sequence(lines: Iterable[str]) -> str:
    """The messages as numbered steps: who to whom, and what."""
    names: dict[str, str] = {}
    told, steps = [], []
    for line in lines:
        if match := WHO.fullmatch(line):
            name, _, work = match[2].partition(": ")
            names[match[1]] = name
            told.append(f"<li><strong>{escape(name)}</strong>: {escape(work)}</li>")
        elif match := MESSAGE.fullmatch(line):
            sender, receiver = (
                f"<strong>{escape(names[key])}</strong>" for key in match.groups()[:2]
            )
            steps.append(f"<li>{sender} → {receiver}: {escape(match[3])}</li>")
        elif match := NOTE.fullmatch(line):
            who = ", ".join(names[key] for key in match[1].split(","))
            steps.append(f"<li><strong>{escape(who)}</strong>: {escape(match[2])}</li>")
        elif match := LOOP.fullmatch(line):
            steps.append(f'<li class="loop">{escape(match[1])}:</li>')
        elif line != "end":
            raise ValueError(f"a sequence of messages, notes and loops is drawn; found {line!r}")
    return f'<ul>{"".join(told)}</ul><ol class="sequence">{"".join(steps)}</ol>'


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("mermaid", Diagram)
    return {"parallel_read_safe": True}
