"""A report as a picture: whole, in two colourings, and nothing in it asks for anything."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.text import Text

from benchmarks.pictures import shortened
from deploybench.report.svg import THEMES, lines_svg, report_svg, write_svgs
from deploybench.report.table import Prose, Report, Table
from deploybench.results.store import read_records
from tests.conftest import run_here

EXAMPLE = Path(__file__).parents[2] / "docs/example-run"
HOSTILE = "<script>alert(1)</script> & \x1b[31mred"


def words_of(svg: str) -> str:
    """What is read in the picture; it has to parse as XML."""
    root = ElementTree.fromstring(svg)
    texts = root.iter("{http://www.w3.org/2000/svg}text")
    return "\n".join("".join(text.itertext()) for text in texts).replace("\xa0", " ")


@pytest.mark.parametrize("theme", THEMES)
def test_picture_holds_every_word_and_asks_nothing_of_any_network(theme: str) -> None:
    long = "deploybench run " + "--model name " * 30
    report = Report((Prose(("words", long), title="Title", verbatim=True),))
    svg = report_svg(report, theme)
    assert "Title" in words_of(svg)
    assert long.strip() in words_of(svg)
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in re.sub(r"url\(#", "", svg)
    assert svg == report_svg(report, theme)


def test_hostile_words_are_words() -> None:
    svg = report_svg(Report((Prose((HOSTILE,)),)))
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert "<script>alert(1)</script> &" in words_of(svg)


def test_lines_of_a_terminal_are_pictured_as_wide_as_the_longest_and_say_what_they_are() -> None:
    lines = [Text("measuring round 3"), Text("vit onnxruntime fp32   3.100  known", "green")]
    svg = lines_svg(lines, "live", "dark", "The live view of a run")
    assert "measuring round 3" in words_of(svg)
    assert "vit onnxruntime fp32   3.100  known" in words_of(svg)
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == "The live view of a run"
    assert int(root.get("width", 0)) == pytest.approx(lines[1].cell_len * 12.2, abs=40)


def test_both_colourings_are_written_and_differ_in_colours_alone(tmp_path: Path) -> None:
    paths = write_svgs(Report((Prose(("words",), title="Title"),)), tmp_path / "pictures")
    assert [path.name for path in paths] == ["table-light.svg", "table-dark.svg"]
    light, dark = (path.read_text("utf-8") for path in paths)
    assert words_of(light) == words_of(dark)
    assert light != dark


def test_picture_in_the_readme_is_of_the_records_beside_it() -> None:
    records = [
        record for record in read_records(EXAMPLE) if record.cell.model in ("resnet50", "vit")
    ]
    report = shortened(records)
    assert isinstance(report.sections[0], Prose)
    assert isinstance(report.sections[1], Table)
    for theme in THEMES:
        path = EXAMPLE.parent / "pictures" / f"table-{theme}.svg"
        assert path.read_text("utf-8") == report_svg(report, theme), "make pictures"


def test_show_writes_the_pictures_of_what_it_prints(tmp_path: Path) -> None:
    done = run_here("show", EXAMPLE, "-w", tmp_path, "--svg", tmp_path / "pictures")
    assert done.returncode == 0, done.stderr
    assert "table-dark.svg" in done.stderr
    shown = words_of((tmp_path / "pictures/table-light.svg").read_text("utf-8"))
    assert "This settles what is not known" in shown
    assert shown.split() == done.stdout.split()


def test_screenshots_of_the_readme_are_small() -> None:
    for path in (EXAMPLE.parent / "pictures").glob("*.png"):
        assert path.stat().st_size < 300_000
