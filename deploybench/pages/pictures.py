"""The charts of a page as pictures for a paper: SVG or PNG, on white, without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deploybench.files import slug, write_whole
from deploybench.pages.html import check_pages_installed
from deploybench.pages.page import Page, Spec
from deploybench.pages.specs import LIGHT

WIDTH = 720
"""Pixels of the plot itself, in a picture of scale 1."""
PNG_SCALE = 2.5
"""Pixels of a PNG to one of the picture: 1800 for the plot, enough for a column at 300 dpi."""
CONFIG: dict[str, Any] = {
    "background": "white",
    "font": "DejaVu Sans, Liberation Sans, Arial, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"orient": "top", "labelFontSize": 12, "titleFontSize": 12},
    "range": {"category": list(LIGHT)},
}


def write_pictures(page: Page, *, svg: Path | None, png: Path | None) -> Iterator[Path]:
    """Write every view of every chart into the folders; the paths, as they are written.

    A picture is called after its chart; where there are several views, after its view as well.
    """
    check_pages_installed()
    import vl_convert

    for folder in (svg, png):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    for chart in page.charts:
        for view in chart.views:
            name = chart.about.key
            if len(chart.views) > 1:
                name += f"-{slug(view.name)}"
            spec = _with_size(view.spec)
            if svg is not None:
                path = svg / f"{name}.svg"
                write_whole(path, vl_convert.vegalite_to_svg(spec, config=CONFIG))
                yield path
            if png is not None:
                path = png / f"{name}.png"
                write_whole(path, vl_convert.vegalite_to_png(spec, scale=PNG_SCALE, config=CONFIG))
                yield path


def _with_size(spec: Spec) -> dict[str, Any]:
    made = dict(spec)
    if "vconcat" in made:
        made["vconcat"] = [{**part, "width": WIDTH} for part in made["vconcat"]]
    else:
        made["width"] = WIDTH
    return made
