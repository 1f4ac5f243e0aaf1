"""A report as a picture: what a terminal shows, as SVG that asks nothing of any network."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from deploybench.report.console import PIPE_WIDTH
from deploybench.report.table import Report
from deploybench.report.terminal import print_sections

# The colours of GitHub's own pages.
LIGHT = TerminalTheme(
    (255, 255, 255),
    (31, 35, 40),
    [
        (31, 35, 40),
        (207, 34, 46),
        (17, 99, 41),
        (125, 78, 0),
        (9, 105, 218),
        (130, 80, 223),
        (27, 124, 131),
        (89, 99, 110),
    ],
)
DARK = TerminalTheme(
    (13, 17, 23),
    (230, 237, 243),
    [
        (110, 118, 129),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (177, 186, 196),
    ],
)
THEMES = {"light": LIGHT, "dark": DARK}
PADDING = 16

# Rich's own frame loads a font from the web, and draws the buttons of a window. Every line says how
# long it is, so that any monospaced font will do.
FRAME = """\
<svg viewBox="-{padding} -{padding} {width} {height}" width="{width}" height="{height}"
  xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}">
<style>
.{{unique_id}}-matrix {{{{
  font: {{char_height}}px/{{line_height}}px ui-monospace, Menlo, "DejaVu Sans Mono", monospace;
}}}}
{{styles}}
</style>
<defs>{{lines}}</defs>
<rect x="{left}" y="{left}" width="{inner_width}" height="{inner_height}" rx="8" fill="{ground}"
  stroke="#8b949e" stroke-opacity="0.5"/>
<g class="{{unique_id}}-matrix">{{matrix}}</g>
</svg>
"""
CHARACTER = 20 * 0.61
LINE = 20 * 1.22
"""In pixels, as Rich draws them."""


def write_svgs(report: Report, folder: Path, *, width: int = PIPE_WIDTH) -> list[Path]:
    """``table-light.svg`` and ``table-dark.svg`` in the folder, for pages of these colours."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in THEMES:
        path = folder / f"table-{name}.svg"
        path.write_text(report_svg(report, name, width=width), encoding="utf-8")
        written.append(path)
    return written


def report_svg(report: Report, theme: str = "light", *, width: int = PIPE_WIDTH) -> str:
    """The report as a terminal of that many columns shows it; wider where a line cannot be folded.

    The colours are those of a page of that theme, ``light`` or ``dark``.
    """
    console = _recording(width)
    print_sections(report, console)
    return _picture(console, f"table-{theme}", theme, "A table of DeployBench")


def lines_svg(lines: Sequence[Text], key: str, theme: str, label: str) -> str:
    """Lines as a terminal shows them; ``key`` names the picture within a page, ``label`` says what
    it is to whoever does not see it."""
    console = _recording(max(line.cell_len for line in lines))
    for line in lines:
        console.print(line, no_wrap=True)
    return _picture(console, f"{key}-{theme}", theme, label)


def _recording(width: int) -> Console:
    """A terminal of that many columns that nobody sees."""
    return Console(
        file=io.StringIO(),
        width=width,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        legacy_windows=False,
        _environ={},
    )


def _picture(console: Console, key: str, theme: str, label: str) -> str:
    """What was printed on the console, as wide as its longest line."""
    lines = console.export_text(clear=False).splitlines()
    console.width = max([console.width, *(cell_len(line) for line in lines)])
    colours = THEMES[theme]
    inner_width = round(console.width * CHARACTER) + 2 * PADDING
    inner_height = round(len(lines) * LINE) + 2 * PADDING
    frame = FRAME.format(
        label=label,
        padding=PADDING,
        left=0.5 - PADDING,
        width=inner_width,
        height=inner_height,
        inner_width=inner_width - 1,
        inner_height=inner_height - 1,
        ground=colours.background_color.hex,
    )
    # An id that does not depend on what is shown: a new picture differs where its words do.
    return console.export_svg(theme=colours, code_format=frame, unique_id=key)
