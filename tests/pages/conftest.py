"""Pages that several tests look at: each is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages import made

pytest.importorskip("vl_convert", reason='needs pip install "deploybench[report]"')


@pytest.fixture(scope="session")
def page_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two machines and three runs, on disk."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return made.write_page(made.two_machines(), path, made.explained())


@pytest.fixture(scope="session")
def page(page_path: Path) -> made.Parsed:
    return made.parsed(page_path.read_text(encoding="utf-8"))
