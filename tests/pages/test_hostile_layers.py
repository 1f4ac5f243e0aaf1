"""Names of layers, of modules and of files are inert wherever explain's documents are shown."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from rich.console import Console

from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.pages.pictures import write_pictures
from deploybench.report.data import report_csv
from deploybench.report.layers_table import explanation_report
from deploybench.report.markdown import report_markdown
from deploybench.report.terminal import print_sections
from deploybench.results.explanation import Explanation, file_name, read_explanation
from deploybench.results.explanation import write_explanation as write
from tests.explanations import explained, explanation, profile
from tests.pages import made
from tests.pages.test_hostile import WORDS, records_with
from tests.records import host

# What does not decode cannot be written as JSON, so no document holds it.
kinds = pytest.mark.parametrize("kind", [kind for kind in WORDS if kind != "surrogate"])


def layers_with(words: str) -> list[Explanation]:
    """One artifact, and two side by side, in whose every text of others the words stand."""
    sides = []
    for runner in ("onnxruntime", "openvino"):
        side = explained(words + runner, name=words, model=words, profile=profile(prefix=words))
        sides.append(side.replaced(unbounded=words))
    changes = {"prefix": words, "command": words, "uncounted": words, "host": host(hostname=words)}
    return [explanation(sides[0], **changes), explanation(*sides, **changes)]  # type: ignore[arg-type]


@kinds
def test_words_of_layers_are_text_of_the_page_and_nothing_else(kind: str) -> None:
    pages = []
    for words in ("plain", WORDS[kind]):
        page = page_of(records_with(words), title=words, layers=layers_with(words))
        pages.append(made.parsed(page_html(page)))
    plain, hostile = pages
    assert [node.name for node in hostile.nodes] == [node.name for node in plain.nodes]
    assert hostile.comments == []
    section = hostile.of_id("layers").text
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not {one for one in section if one != "\n" and unicodedata.category(one) in acting}
    if WORDS[kind].isprintable():
        assert WORDS[kind] in section


@kinds
def test_words_of_layers_do_nothing_in_a_terminal_in_markdown_and_in_csv(kind: str) -> None:
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for found in layers_with(WORDS[kind]):
        report = explanation_report(found)
        stream = io.StringIO()
        print_sections(report, Console(file=stream, width=112, highlight=False))
        text = stream.getvalue()
        assert not {one for one in text if one != "\n" and unicodedata.category(one) in acting}
        text = report_markdown(report)
        assert not re.search(r"(?<!\\)(?:\\\\)*(?:<(?!/?sub>)|`|&(?=[#\w]))", text)
        for row in csv.reader(io.StringIO(report_csv(report))):
            for cell in row:
                assert not cell.startswith(("=", "@")), cell
                if cell.startswith(("+", "-")):
                    float(cell)


@pytest.mark.parametrize("kind", ["element", "end of script", "expression", "colour", "formula"])
def test_words_of_layers_are_text_of_pictures(kind: str, tmp_path: Path) -> None:
    page = page_of(made.one_run()[:2], layers=layers_with(WORDS[kind]))
    written = list(write_pictures(page, svg=tmp_path, png=None))
    drawn = [path for path in written if path.name.startswith("layers")]
    assert len(drawn) == 2
    for path in drawn:
        assert path.parent == tmp_path
        elements = list(ElementTree.parse(path).iter())
        names = {element.tag.rpartition("}")[2] for element in elements}
        assert not names & {"script", "img", "image", "foreignObject", "a"}
        attributes = {name for element in elements for name in element.attrib}
        assert not [name for name in attributes if name.lower().startswith("on")]


@kinds
def test_name_of_the_file_holds_nothing_of_the_words(kind: str, tmp_path: Path) -> None:
    found = layers_with(WORDS[kind])[1]
    name = file_name(found)
    assert re.fullmatch(r"[A-Za-z0-9._-]+\.layers\.json", name)
    write(found, tmp_path / name)
    assert read_explanation(tmp_path / name) == found
