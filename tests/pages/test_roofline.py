"""Latency against MACs has the time that the peak of the hardware takes for the arithmetic."""

from __future__ import annotations

import pytest

from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.pages.machines import machines_of
from deploybench.pages.macs_chart import macs_view
from deploybench.results.record import Bound
from tests.pages import made


def test_roofline_is_the_time_of_the_arithmetic_at_the_peak() -> None:
    # 10 ms for 4 GMAC: 8 GFLOP at 800 GFLOP/s.
    bound = Bound(
        roof="host",
        precision="fp32",
        batch=1,
        flops=8 * 10**9,
        moved_bytes=1,
        compute_ms=10.0,
        memory_ms=0.1,
    )
    records = [record.replaced(bound=bound) for record in made.one_run() if record.macs]
    (machine,) = machines_of(records, None, 0.02)
    view = macs_view(machine.runs[0], "", ["pytorch"])
    assert view is not None
    (line,) = [part for part in view.spec["layer"] if "data" in part]
    points = line["data"]["values"]
    assert points[0]["gmac"] == pytest.approx(0.1)
    assert points[-1]["gmac"] == pytest.approx(4.0)
    assert points[-1]["peak_ms"] == pytest.approx(10.0)
    assert points[0]["peak_ms"] == pytest.approx(0.25)
    without = made.one_run()
    (machine,) = machines_of(without, None, 0.02)
    view = macs_view(machine.runs[0], "", ["pytorch"])
    assert view is not None
    assert not [part for part in view.spec["layer"] if "data" in part]


def test_table_has_every_mark_and_of_each_model_the_fastest_is_drawn_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = made.one_run()  # three models on two runners, ONNX Runtime the faster
    (machine,) = machines_of(records, None, 0.02)
    monkeypatch.setattr("deploybench.pages.macs_chart.MOST_MARKS", 3)
    view = macs_view(machine.runs[0], "", ["pytorch", "onnxruntime"])
    assert view is not None
    drawn = {(value["model"], value["runner"]) for value in view.spec["data"]["values"]}
    assert drawn == {(model, "onnxruntime") for model in made.MODELS}
    assert "3 of 6 marks are drawn, the fastest of each model before its others." in view.caption
    assert len(view.table.lines) == 6
    # Where not even one of each model has room: the fewest MACs and the most.
    monkeypatch.setattr("deploybench.pages.macs_chart.MOST_MARKS", 2)
    view = macs_view(machine.runs[0], "", ["pytorch", "onnxruntime"])
    assert view is not None
    assert [value["model"] for value in view.spec["data"]["values"]] == ["small", "large"]


def test_page_says_where_the_table_of_a_chart_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "The table of this chart has the first 4 of 6 lines."
    assert "The table of this chart" not in page_html(page_of(made.one_run()))
    monkeypatch.setattr("deploybench.pages.html.MOST_LISTED", 4)
    assert words in page_html(page_of(made.one_run()))
