"""The benchmark of many results, in a small form: it runs, and counts what it made."""

from __future__ import annotations

from pathlib import Path

from benchmarks.results_at_scale import main


def test_small_form_queries_and_compares_all_that_it_made(tmp_path: Path) -> None:
    took = main(["--records", "400", "--plain", "40", "--folder", str(tmp_path)])
    said = {one.what: one.last_line for one in took}
    assert "200 cells compared" in said["compare the pack"]
    assert "20 cells compared" in said["compare plain JSON, 1"]
    # A process's peak begins with that of the one that started it: here that of all the tests.
    assert all(one.seconds > 0 and one.memory_gib > 0 for one in took)
