"""Where the axes of charts begin, and that marks at one place do not hide each other."""

from __future__ import annotations

import pytest

from deploybench.pages.machines import Run, machines_of
from deploybench.pages.memory_chart import PHASES, memory_view
from deploybench.pages.page import View
from deploybench.pages.specs import points_by_verdict
from deploybench.pages.sweep_chart import BATCHES, sweep_views
from deploybench.results.record import Record
from tests.pages import made


def run_of(records: list[Record]) -> Run:
    (machine,) = machines_of(records, None, 0.02)
    return machine.runs[0]


def rates(*ms: float) -> View:
    """The view of a model whose calls of 1, 2, 4 … images take so long."""
    records = [made.visited(time, model="small", batch=2**number) for number, time in enumerate(ms)]
    (view,) = sweep_views(run_of(records), BATCHES, "")
    return view


def test_rates_stand_above_zero_so_that_a_small_fall_looks_small() -> None:
    assert rates(1.0, 2.2, 4.8).spec["encoding"]["y"]["scale"]["zero"] is True


def test_rates_that_differ_by_much_are_on_a_logarithmic_scale() -> None:
    assert rates(10.0, 10.0, 4.0).spec["encoding"]["y"]["scale"]["type"] == "log"


@pytest.mark.parametrize("cells", [1, 6])
def test_phases_of_a_cell_stand_below_each_other_around_its_bar(cells: int) -> None:
    view = memory_view(run_of(made.one_run()[:cells]), "")
    assert view is not None
    (points,) = [layer for layer in view.spec["layer"] if layer["mark"]["type"] == "point"]
    scale = points["encoding"]["yOffset"]["scale"]
    assert list(scale["domain"]) == list(PHASES)
    first, last = scale["range"]
    room = view.spec["height"] / cells
    assert 0 < first < last < room
    assert first + last == room


def test_marks_are_hollow_where_the_time_is_not_valid() -> None:
    values = [{"verdict": "VALID"}, {"verdict": "NOISY"}]
    filled, hollow = points_by_verdict(values, {}, size=80)
    assert filled["mark"]["filled"] is True
    assert filled["transform"] == [{"filter": "datum.verdict === 'VALID'"}]
    assert hollow["mark"]["filled"] is False
    # Vega warns of a layer without a mark.
    assert points_by_verdict(values[1:], {}, size=80) == [hollow]


def test_best_figure_is_called_what_it_is_where_it_is_not_valid() -> None:
    view = rates(1.0, 2.2)
    (verdict,) = {value["verdict"] for value in view.spec["data"]["values"]}
    assert verdict != "VALID"
    assert f"images/s ({verdict})." in view.caption


def test_cells_of_one_model_and_runner_are_told_apart_by_what_differs() -> None:
    view = memory_view(run_of(made.swept()), "")
    assert view is not None
    cells = list(dict.fromkeys(line.cells[0].text for line in view.table.lines))
    assert "small, pytorch fp32 batch 8 @224" in cells
    assert "small, pytorch fp32 batch 1 @384" in cells
    assert len(cells) == 6


def test_two_artifacts_of_one_form_are_two_cells() -> None:
    records = [made.visited(2.0, model="small", artifact_key=key * 16) for key in ("aaaa", "bbbb")]
    view = memory_view(run_of(records), "")
    assert view is not None
    cells = {line.cells[0].text for line in view.table.lines}
    assert len(cells) == 2
    assert any("bbbbbbbb" in cell for cell in cells)
