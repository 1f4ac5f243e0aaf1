"""Latency against MACs has the time that the peak of the hardware takes for the arithmetic."""

from __future__ import annotations

import pytest

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
