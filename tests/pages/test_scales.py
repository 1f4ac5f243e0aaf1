"""Where the axes of charts begin, and that marks at one place do not hide each other."""

from __future__ import annotations

from deploybench.pages.machines import Run, machines_of
from deploybench.pages.memory_chart import PER_CELL, PHASES, memory_view
from deploybench.pages.page import View
from deploybench.pages.sweep_chart import BATCHES, sweep_views
from deploybench.results.record import Record
from tests.pages import made


def run_of(records: list[Record]) -> Run:
    (machine,) = machines_of(records, None, 0.02)
    return machine.runs[0]


def rates(*ms: float) -> View:
    """The view of a model whose calls of 1, 2, 4 … images take so long."""
    records = [
        made.visited(time, model="small", batch=2**number) for number, time in enumerate(ms)
    ]
    (view,) = sweep_views(run_of(records), BATCHES, "")
    return view


def test_rates_stand_above_zero_so_that_a_small_fall_looks_small() -> None:
    assert rates(1.0, 2.2, 4.8).spec["encoding"]["y"]["scale"]["zero"] is True


def test_rates_that_differ_by_much_are_on_a_logarithmic_scale() -> None:
    assert rates(10.0, 10.0, 4.0).spec["encoding"]["y"]["scale"]["type"] == "log"


def test_phases_of_a_cell_stand_below_each_other_within_its_room() -> None:
    view = memory_view(run_of(made.one_run()), "")
    assert view is not None
    (points,) = [layer for layer in view.spec["layer"] if layer["mark"]["type"] == "point"]
    scale = points["encoding"]["yOffset"]["scale"]
    assert list(scale["domain"]) == list(PHASES)
    first, last = scale["range"]
    assert 0 < first < last < PER_CELL
