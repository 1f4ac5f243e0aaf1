"""What a record says of the hardware that its cell ran on."""

from __future__ import annotations

import pytest

from deploybench.hardware.roof import Roof
from deploybench.runs.records import _peak_gflops
from tests.records import record

ROOF = Roof("host", {"fp32": 0.2, "int8": 0.8}, 100.0, memory_bytes=8e9, cache_bytes=0)


@pytest.mark.parametrize(
    ("precision", "peak"), [("fp32", 200), ("int8", 800), ("int8-weights", 200), ("bf16", None)]
)
def test_peak_is_that_of_what_the_cell_computes_in(precision: str, peak: float | None) -> None:
    cell = record([]).cell.replaced(precision=precision)
    assert _peak_gflops(cell, ROOF) == peak
    assert _peak_gflops(cell, None) is None
