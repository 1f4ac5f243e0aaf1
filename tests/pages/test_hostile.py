"""Words of others are inert on every printer of a record: page, terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata

import pytest
from rich.console import Console

from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html, script_json
from deploybench.report.data import report_csv
from deploybench.report.markdown import report_markdown
from deploybench.report.run_report import run_report
from deploybench.report.table import Report
from deploybench.report.terminal import print_sections
from deploybench.report.trace_text import trace_sections
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from tests.pages import made
from tests.records import host

WORDS = {
    "element": "<img src=x onerror=alert(1)>",
    "script": "<script>alert(1)</script>",
    "end of script": "</script><script>alert(1)</script>",
    "comment": "<!-- <script>",
    "attribute": '" onmouseover="alert(1)" x=\'',
    "entity": "&lt;script&gt;&#60;b&#62;",
    "style": "</style><style>*{display:none}</style>",
    "template": "{{ 7*7 }}{% raw %}",
    "expression": "datum['constructor']('alert(1)')()",
    "address": "javascript:alert(1)",
    "colour": "\x1b[31mred\x1b]0;owned\x07",
    "carriage return": "FAILED\rVALID",
    "direction": "\u202egnp.exe",
    "surrogate": "caf\udce9",
    "separator": "one\u2028two",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "bars": "a | b",
    "markdown": "[t](http://evil) ![i](http://evil) `c`",
}
kinds = pytest.mark.parametrize("kind", WORDS)


def records_with(words: str) -> list[Record]:
    """Two models in whose every text of others the words stand."""
    records = []
    for number, one in enumerate(made.one_run()[:4]):
        cell = one.cell.replaced(
            model=words + str(number // 2), weights=words, runner=words + one.cell.runner
        )
        assert one.quality is not None
        data = one.quality.data.replaced(name=words)
        records.append(
            one.replaced(
                cell=cell,
                baseline=words + "pytorch",
                host=host(hostname=words, cpu_model=words, versions={words: words}, gpu_note=words),
                judgement=Judgement(verdict=Verdict.NOISY, reason=words, advice=words),
                command=words,
                assumed=(words,),
                macs_uncounted=(words,) if number == 3 else (),
                quality=one.quality.replaced(data=data),
            )
        )
    return records


@kinds
def test_words_are_text_of_the_page_and_nothing_else(kind: str) -> None:
    plain = made.parsed(page_html(page_of(records_with("plain"), title="plain")))
    hostile = made.parsed(page_html(page_of(records_with(WORDS[kind]), title=WORDS[kind])))
    # The same elements with the same attributes, in the same order.
    assert [node.name for node in hostile.nodes] == [node.name for node in plain.nodes]
    assert [sorted(node.attributes) for node in hostile.nodes] == [
        sorted(node.attributes) for node in plain.nodes
    ]
    assert hostile.comments == plain.comments == []
    title = hostile.all("title")[0].text
    assert not {character for character in title if unicodedata.category(character) in ("Cc", "Cf")}
    if WORDS[kind].isprintable():
        assert title == WORDS[kind]
        assert WORDS[kind] in hostile.of_id("answer").text + hostile.of_id("comparison").text


@kinds
def test_words_end_no_script_and_stay_what_they_are_in_the_data(kind: str) -> None:
    text = script_json({"words": WORDS[kind]})
    assert not set("<>&") & set(text)
    assert "\u2028" not in text
    assert json.loads(text) == {"words": WORDS[kind]}


@kinds
def test_words_do_nothing_in_a_terminal(kind: str) -> None:
    records = records_with(WORDS[kind])
    report = run_report(records)
    report = Report((*report.sections, *trace_sections(records[0])))
    stream = io.StringIO()
    print_sections(report, Console(file=stream, width=112, highlight=False))
    text = stream.getvalue()
    acting = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    assert not {one for one in text if one != "\n" and unicodedata.category(one) in acting}


@kinds
def test_words_mean_nothing_in_markdown(kind: str) -> None:
    text = report_markdown(run_report(records_with(WORDS[kind])))
    # What stands between fences is code, and means nothing.
    outside = "".join(re.split(r"^```$", text, flags=re.MULTILINE)[::2])
    assert not re.search(r"(?<!\\)(?:\\\\)*(?:<(?!/?sub>)|\[|`|&(?=[#\w]))", outside)
    lines = [line for line in outside.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


@kinds
def test_words_are_no_formula_in_csv(kind: str) -> None:
    text = report_csv(run_report(records_with(WORDS[kind])))
    rows = list(csv.reader(io.StringIO(text)))
    assert len({len(row) for row in rows}) == 1
    for row in rows[1:]:
        for cell in row:
            assert not cell.startswith(("=", "@")), cell
            if cell.startswith(("+", "-")):
                float(cell)
