"""The page as one HTML file that asks nothing of any network.

Words of others come into it in two ways, and both are inert: as text, which the template escapes,
and as JSON in an element that is no script, in which nothing can end the element. Beside that the
page's own policy lets no script run but the two that stand in it (by their hashes), so that words
which got through after all would do nothing, and it lets nothing be fetched.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib.util
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.inert import inert
from deploybench.pages.page import Chart, Comparison, Folded, Page, View
from deploybench.pages.specs import DARK, LIGHT
from deploybench.plurals import counted
from deploybench.report.table import Prose, Table

REMEDY = 'pip install "deploybench[report]"'
NEEDED = ("jinja2", "vl_convert")
SHOWN_AT_ONCE = 150
"""Lines of a table that stand in the page; of more the others are data, put there when they are
asked for."""
MOST_LISTED = 400
"""Lines of the table beside a chart."""
BEFORE_OPTION = re.compile(" (?=--)")
PACKED_FROM = 2_000_000
"""Characters of data from which on they are compressed in the page: to a tenth, for a browser reads
and unpacks that sooner than it reads the whole. Those of fewer can be read by anybody."""
NOT_IN_HTML = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def check_pages_installed() -> None:
    """Raise DeployBenchError where a library that pages are made with is missing."""
    missing = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise DeployBenchError(f"a report as a page needs {', '.join(missing)}", action=REMEDY)


def page_html(page: Page) -> str:
    """The whole file; the same page gives the same bytes."""
    check_pages_installed()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("deploybench.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inert"] = lambda text: inert(str(text))
    environment.filters["inert_lines"] = inert_lines
    environment.tests["chart"] = lambda block: isinstance(block, Chart)
    environment.tests["comparison"] = lambda block: isinstance(block, Comparison)
    environment.tests["folded"] = lambda block: isinstance(block, Folded)
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["prose"] = lambda block: isinstance(block, Prose)
    library = _library() if page.charts else ""
    program = _program()
    data = script_json(_data(page))
    packed = len(data) > PACKED_FROM
    return environment.get_template("page.html.j2").render(
        page=page,
        style=_text("page.css"),
        library=library,
        program=program,
        policy=_policy([library, program]),
        data=pack(data) if packed else data,
        packed=packed,
        first_lines=first_lines,
        listed=listed,
        shown_at_once=SHOWN_AT_ONCE,
    )


def _program() -> str:
    """All of the page's own script: it begins when its data are there."""
    parts = "\n".join(_text(name) for name in ("page.js", "rows.js", "charts.js"))
    return f'"use strict";\n(async () => {{\n{parts}\n}})();'


def pack(text: str) -> str:
    """The text, compressed, in letters that can stand anywhere (gzip, base64)."""
    # Without the time, so that the same page gives the same bytes.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def script_json(value: object) -> str:
    """JSON that can stand within a script element: nothing in it ends the element or begins a
    comment, a tag or an entity."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate(NOT_IN_HTML)


def inert_lines(text: str) -> str:
    """The text with its own breaks; in each of its lines all characters are only seen."""
    return "\n".join(inert(line) for line in text.split("\n"))


def first_lines(comparison: Comparison) -> Table:
    """The lines that are there without any script."""
    return _cut(comparison.table, SHOWN_AT_ONCE)


def listed(table: Table) -> Table:
    return _cut(table, MOST_LISTED)


def _cut(table: Table, most: int) -> Table:
    """The first lines of a table, for a page: each text only seen."""
    groups = []
    left = most
    for group in table.groups:
        if left > 0:
            groups.append(replace(group, lines=group.lines[:left]))
        left -= len(group.lines)
    return replace(table, groups=tuple(groups)).inert


def _data(page: Page) -> dict[str, Any]:
    comparisons, charts = [], []
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Comparison):
                comparisons.append(_comparison_data(block))
            elif isinstance(block, Chart):
                charts.append(_chart_data(block))
    return {
        "comparisons": comparisons,
        "charts": charts,
        "shownAtOnce": SHOWN_AT_ONCE,
        "colours": {"light": LIGHT, "dark": DARK},
    }


def _comparison_data(comparison: Comparison) -> dict[str, Any]:
    table = comparison.table.inert
    numbers = {note.cause: number for number, note in enumerate(table.notes)}
    lines = []
    texts: list[str] = []
    known: dict[str, int] = {}

    def numbered(text: str) -> int:
        """Where a text stands among those of the table: each is written once."""
        if text not in known:
            known[text] = len(texts)
            texts.append(text)
        return known[text]

    position = 0
    for group_number, group in enumerate(table.groups):
        for line in group.lines:
            entry = table.data[position]
            command = comparison.commands[position]
            lines.append(
                [
                    group_number,
                    comparison.alike[position],
                    [numbered(cell.text) for cell in line.cells],
                    numbered(line.cells[-1].style.value),
                    numbered(inert(str(getattr(entry["verdict"], "value", entry["verdict"])))),
                    [[numbers[note.cause], numbered(note.full)] for note in line.notes],
                    # Commands differ in an artifact and a batch: their options are written once.
                    [numbered(part) for part in BEFORE_OPTION.split(inert(command))],
                    [
                        _sorted_by(column.key, entry) if column.number else None
                        for column in table.columns
                    ],
                ]
            )
            position += 1
    return {
        "key": comparison.key,
        "columns": [
            {"key": column.key, "title": column.heading, "number": column.number}
            for column in table.columns
        ],
        "groups": [group.title for group in table.groups],
        "texts": texts,
        "notes": [{"cause": note.cause, "advices": list(note.advices)} for note in table.notes],
        "lines": lines,
    }


def _sorted_by(key: str, entry: Mapping[str, object]) -> float | None:
    """The figure with all its digits, where the row has it under the column's name."""
    value = entry.get(key)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(f"{value:.6g}")
    return None


def _chart_data(chart: Chart) -> dict[str, Any]:
    return {"key": chart.about.key, "views": [_view_data(view) for view in chart.views]}


def _view_data(view: View) -> dict[str, Any]:
    table = listed(view.table)
    caption = view.caption
    if len(table.lines) < len(view.table.lines):
        words = f"the first {len(table.lines)} of {counted(len(view.table.lines), 'line')}"
        caption = f"{caption}\nThe table of this chart has {words}."
    return {
        "name": inert(view.name),
        "caption": inert_lines(caption),
        "spec": view.spec,
        "columns": [[column.heading, column.number] for column in table.columns],
        "lines": [[cell.text for cell in line.cells] for line in table.lines],
    }


@cache
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed (BSD-3), as vl-convert ships them.

    In a block of its own, so that its names are not those of the page.
    """
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # Nothing in it may end the element that it stands in.
    return "{" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "}"


def _policy(scripts: Sequence[str]) -> str:
    """What the page may do: run the scripts that stand in it, and look as it says."""
    hashes = [f"'sha256-{_sha256(script)}'" for script in scripts if script]
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _text(name: str) -> str:
    return files("deploybench.pages").joinpath(name).read_text(encoding="utf-8")
