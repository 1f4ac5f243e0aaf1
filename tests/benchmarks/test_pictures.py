"""The example page is that of the records and of the code beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pictures import example_page

DOCS = Path(__file__).parents[2] / "docs"


def without_library(html: str) -> str:
    """All but the charts' own library, which is that of whichever version is installed, and the
    hashes of the scripts."""
    before, _, rest = html.partition("<script>{")
    _, _, after = rest.partition("</script>")
    policy = '<meta http-equiv="Content-Security-Policy"'
    return "\n".join(line for line in (before + after).splitlines() if policy not in line)


def test_example_page_is_not_stale() -> None:
    pytest.importorskip("vl_convert", reason='needs pip install "deploybench[report]"')
    made = without_library(example_page(DOCS / "example-run"))
    written = without_library((DOCS / "report-example.html").read_text(encoding="utf-8"))
    assert made == written, "the example page is stale: make pictures writes it anew"
