"""Panels as a picture: maps over the image, the pixels that ask in yellow."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.attention.seen import Cell, Panel
from deploybench.errors import DeployBenchError

CELL_INCHES, LABEL_INCHES, HEAD_INCHES = 1.1, 0.75, 0.95
CHARACTERS_AN_INCH = 18
"""Of the words below a title."""
MARK = "#ffe100"
DOTS_PER_INCH = 100


def check_drawing() -> None:
    """Raises DeployBenchError where Matplotlib is not there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise DeployBenchError(
            "the picture needs Matplotlib, which is not installed",
            action="pip install 'deploybench[attention]'",
        ) from error


def draw(panels: Sequence[tuple[str, Panel]], picture: npt.NDArray[np.float64]) -> bytes:
    """The panels below each other as a PNG; with each the words before its title. ``picture``:
    height x width x 3, from 0 to 1."""
    check_drawing()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widest = max(len(panel.columns) for _, panel in panels)
    heights = [HEAD_INCHES + CELL_INCHES * len(panel.rows) for _, panel in panels]
    width = max(LABEL_INCHES + CELL_INCHES * widest, 5.5)
    figure = Figure(figsize=(width, sum(heights)), dpi=DOTS_PER_INCH)
    FigureCanvasAgg(figure)
    top = sum(heights)
    grey = picture.mean(-1)
    for (name, panel), height in zip(panels, heights, strict=True):
        _draw(figure, name, panel, grey, (width, sum(heights)), top)
        top -= height
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _draw(
    figure: Any,
    name: str,
    panel: Panel,
    grey: npt.NDArray[np.float64],
    inches: tuple[float, float],
    top: float,
) -> None:
    """One panel, ``top`` inches above the lower edge."""
    width, height = inches
    title = f"{name}: {panel.title}" if name else panel.title
    # Dollar signs would be taken for mathematics.
    words: dict[str, Any] = {"parse_math": False, "va": "top"}
    figure.text(0.08 / width, (top - 0.08) / height, title, size=9, weight="bold", **words)
    room = int(width * CHARACTERS_AN_INCH)
    below = "\n".join(textwrap.wrap(panel.what, room) + textwrap.wrap(panel.limits, room))
    figure.text(0.08 / width, (top - 0.26) / height, below, size=6.5, **words)
    for row, cells in enumerate(panel.cells):
        bottom = top - HEAD_INCHES - CELL_INCHES * (row + 1) + 0.06
        for column, cell in enumerate(cells):
            left = LABEL_INCHES + CELL_INCHES * column
            side = CELL_INCHES - 0.08
            axes = figure.add_axes(
                (left / width, bottom / height, side / width, side / height),
            )
            _draw_cell(axes, cell, grey)
            if row == 0:
                axes.set_title(panel.columns[column], size=6.5, pad=3)
        middle = (bottom + CELL_INCHES / 2) / height
        figure.text(0.08 / width, middle, panel.rows[row], size=7, va="center", parse_math=False)


def _draw_cell(axes: Any, cell: Cell, grey: npt.NDArray[np.float64]) -> None:
    axes.set_axis_off()
    values = np.ma.masked_invalid(cell.values)
    signed = bool((values < 0).any())
    most = float(np.abs(values).max()) or 1.0
    least, colours = 0.0, "magma"
    if signed:
        least, colours = -most, "RdBu_r"
    shown: dict[str, Any] = {"cmap": colours, "vmin": least, "vmax": most}
    if not cell.on_image:
        axes.imshow(values, interpolation="nearest", **shown)
        return
    height, width = grey.shape
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=extent)
    axes.imshow(values, extent=extent, interpolation="nearest", alpha=0.7, **shown)
    if cell.marked is not None:
        y, x = cell.marked
        axes.plot([x], [y], marker="s", markersize=4, color=MARK, markeredgecolor="black", mew=0.6)
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
