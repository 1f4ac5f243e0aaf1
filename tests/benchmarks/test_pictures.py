"""The example pages are those of the records and of the code beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pictures import EXAMPLES, example_page, half_known
from deploybench.report.live_view import LiveFrame, LiveRow, RowState

DOCS = Path(__file__).parents[2] / "docs"


def without_library(html: str) -> str:
    """All but the charts' own library, which is that of whichever version is installed, and the
    hashes of the scripts."""
    before, _, rest = html.partition("<script>{")
    _, _, after = rest.partition("</script>")
    policy = '<meta http-equiv="Content-Security-Policy"'
    return "\n".join(line for line in (before + after).splitlines() if policy not in line)


@pytest.mark.parametrize("folder", EXAMPLES)
def test_example_page_is_not_stale(folder: str) -> None:
    pytest.importorskip("vl_convert", reason='needs pip install "deploybench[report]"')
    name, _ = EXAMPLES[folder]
    made = without_library(example_page(DOCS / folder))
    page = (DOCS / name).read_text(encoding="utf-8")
    assert made == without_library(page), "the example page is stale: make pictures writes it anew"
    assert len(page) < 3e6


def test_example_of_the_study_shows_accuracy_against_latency() -> None:
    page = (DOCS / "report-study.html").read_text(encoding="utf-8")
    assert 'data-chart="accuracy-latency"' in page
    assert "Worth choosing among" in page


def frame(*states: RowState) -> LiveFrame:
    return LiveFrame(tuple(LiveRow(f"row {number}", one) for number, one in enumerate(states)))


def test_live_view_is_pictured_when_half_of_its_rows_are_known() -> None:
    none = frame(RowState.MEASURING, RowState.MEASURING)
    half = frame(RowState.KNOWN, RowState.MEASURING)
    both = frame(RowState.KNOWN, RowState.KNOWN)
    assert half_known([none, half, both]) is half
    assert half_known([none, both]) is none
