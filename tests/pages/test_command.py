"""``deploybench report``: the page on disk, Markdown, pictures; refusals say what to do."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from deploybench.errors import EXIT_REFUSED
from deploybench.results.store import write_record
from tests.conftest import Cli
from tests.pages import made

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    for record in made.one_run()[:4]:
        write_record(record, folder)
    return folder


def test_report_writes_one_page_of_folders_and_records(
    cli_here: Cli, folder: Path, tmp_path: Path
) -> None:
    one = next(folder.glob("*.json"))
    path = tmp_path / "new" / "page.html"
    done = cli_here("report", folder, one, "-o", path, "--title", "Ours & theirs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "page.html" in done.stderr
    page = made.parsed(path.read_text(encoding="utf-8"))
    assert page.all("h1")[0].text == "Ours & theirs"
    assert [item.name for item in path.parent.iterdir()] == ["page.html"]


def test_report_prints_markdown_and_writes_nothing(
    cli_here: Cli, folder: Path, tmp_path: Path
) -> None:
    done = cli_here("report", folder, "--markdown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| small · " in done.stdout
    assert list(tmp_path.glob("*.html")) == []


def test_report_writes_each_chart_as_pictures(cli_here: Cli, folder: Path, tmp_path: Path) -> None:
    done = cli_here(
        "report", folder, "--svg", tmp_path / "svg", "--png", tmp_path / "png", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    names = {path.stem for path in (tmp_path / "svg").iterdir()}
    assert {"latency-macs", "accuracy-latency", "memory"} <= names
    assert names == {path.stem for path in (tmp_path / "png").iterdir()}
    drawing = ElementTree.parse(tmp_path / "svg" / "latency-macs.svg").getroot()
    assert "pytorch" in "".join(drawing.itertext())
    assert (tmp_path / "png" / "latency-macs.png").read_bytes().startswith(PNG)
    assert not (tmp_path / "report.html").exists()


def test_report_names_the_extra_where_what_it_stands_on_is_missing(
    cli_here: Cli, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = importlib.util.find_spec

    def missing(name: str, package: str | None = None) -> object:
        return None if name == "vl_convert" else really(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    done = cli_here("report", folder, cwd=tmp_path)
    assert done.returncode == EXIT_REFUSED
    assert "vl_convert" in done.stderr
    assert 'pip install "deploybench[report]"' in done.stderr
    # Markdown needs none of it.
    assert cli_here("report", folder, "--markdown", cwd=tmp_path).returncode == 0


def test_report_of_nothing_is_refused(cli_here: Cli, tmp_path: Path) -> None:
    done = cli_here("report", tmp_path / "nowhere", cwd=tmp_path)
    assert done.returncode == EXIT_REFUSED
    assert "no records" in done.stderr
