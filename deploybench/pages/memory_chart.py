"""Memory of each cell after each phase: importing, loading, compiling, the first call, at work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploybench.artifacts.naming import KEY_DIGITS
from deploybench.data.image_size import short_text
from deploybench.pages.machines import Run
from deploybench.pages.page import About, Spec, View, inert_values
from deploybench.pages.specs import name, on_its_own, quantity, shown, table_of_values
from deploybench.plurals import counted
from deploybench.results.cell import Cell
from deploybench.rows.row import Row

MEMORY = About(
    key="memory",
    title="Memory by phase",
    short="Memory",
    reading=(
        "MiB above the interpreter with numpy, after each phase of a process; the bar goes from "
        "the least to the most. At work is the largest while calls were timed."
    ),
)
PHASES = ("imported", "loaded", "compiled", "first call", "at work")
MOST_CELLS = 40
PER_CELL = 36
"""Pixels of height for each cell."""
STAIRS = {"range": [PER_CELL / 2 - 9, PER_CELL / 2 + 9]}
"""Pixels from the upper edge of a cell's room: each phase a step lower than the one before it, so
that marks at the same memory do not hide each other."""
AXIS = {"title": None, "labelExpr": "split(datum.label, ', ')", "labelLineHeight": 13}
"""The model on a line of its own, and what else tells the cell apart on the next one."""


def memory_view(run: Run, view_name: str) -> View | None:
    """None where no memory was read."""
    entries = [
        entry
        for entry in run.entries
        if entry.row.main_state and entry.row.steady_peak_memory_mib is not None
    ]
    if not entries:
        return None
    drawn = entries[:MOST_CELLS]
    names = _names([entry.finding.record.cell for entry in drawn])
    values = []
    for entry, cell in zip(drawn, names, strict=True):
        values += _values(entry.row, cell)
    every_name = _names([entry.finding.record.cell for entry in entries])
    caption = _caption([entry.row for entry in entries], every_name)
    if len(entries) > len(drawn):
        caption += f" The first {len(drawn)} of {counted(len(entries), 'cell')} are drawn."
    table = table_of_values(
        values, ("cell", "cell"), ("phase", "phase"), ("mib", "MiB", "{:.0f}".format)
    )
    return View(view_name, caption, _spec(inert_values(values), len(drawn)), table)


def _names(cells: Sequence[Cell]) -> list[str]:
    """Model and runner where these tell the cells apart, else the model and all that does."""
    short = [f"{cell.model}, {cell.runner}" for cell in cells]
    if len(set(short)) == len(short):
        return short
    names = [f"{cell.model}, {cell.title().removeprefix(cell.model).strip()}" for cell in cells]
    more = (
        lambda cell: f"@{short_text(cell.image_size, cell.patch_size)}",
        lambda cell: cell.form,
        lambda cell: cell.artifact_key[:KEY_DIGITS],
    )
    for tell in more:
        if len(set(names)) < len(names):
            named = zip(names, cells, strict=True)
            names = [f"{name} {tell(cell)}".rstrip() for name, cell in named]
    return names


def _values(row: Row, cell: str) -> list[dict[str, Any]]:
    phases = (
        row.imported_memory_mib,
        row.loaded_memory_mib,
        row.compiled_memory_mib,
        row.first_inference_memory_mib,
        row.steady_peak_memory_mib,
    )
    found = []
    for phase, mib in zip(PHASES, phases, strict=True):
        if mib is not None:
            found.append({"cell": cell, "phase": phase, "mib": round(mib, 1)})
    return found


def _caption(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The cells with the least and the most memory at work."""
    by_memory = sorted((row.steady_peak_memory_mib or 0.0, place) for place, row in enumerate(rows))
    (least, first), (most, last) = by_memory[0], by_memory[-1]
    if first == last:
        return f"{names[first]}: {least:.0f} MiB at work."
    return (
        f"The least at work: {names[first]}, {least:.0f} MiB; the most: {names[last]}, "
        f"{most:.0f} MiB."
    )


def _spec(values: Sequence[dict[str, Any]], cells: int) -> Spec:
    order = list(dict.fromkeys(value["cell"] for value in values))
    across = quantity("mib", "MiB above the interpreter", {"zero": True})
    # The order of the table, not of the alphabet.
    down = name("cell", "", axis=AXIS, sort=order)
    down_the_stairs = name("phase", "", sort=list(PHASES), scale={"domain": PHASES, **STAIRS})
    return {
        "height": cells * PER_CELL,
        "data": {"values": list(values)},
        "encoding": {"y": down},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.5},
                "encoding": {
                    "x": {**across, "aggregate": "min"},
                    "x2": {"field": "mib", "aggregate": "max"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 50},
                "encoding": {
                    "x": across,
                    "yOffset": down_the_stairs,
                    **on_its_own("phase", "after", PHASES),
                    "tooltip": [
                        shown("cell", "cell"),
                        shown("phase", "after"),
                        shown("mib", "MiB", ".0f"),
                    ],
                },
            },
        ],
    }
