"""What stands on the page: the answer, the tables, the charts with their words, and nothing that is
not there."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from deploybench.pages.compose import MOST_TRACES, page_of
from deploybench.pages.html import SHOWN_AT_ONCE, page_html
from deploybench.pages.page import Comparison
from deploybench.report.run_table import run_table
from deploybench.results.record import Record
from deploybench.rows.rows import rows_of
from tests.pages import made
from tests.records import launch, record


def sections_of(records: list[Record]) -> list[str]:
    return [section.key for section in page_of(records).sections]


def test_page_begins_with_the_answer_in_three_sentences(page: made.Parsed) -> None:
    answer = page.of_id("answer")
    lead = [node.text for node in page.all("p") if node.attributes.get("class") == "lead"]
    further = [node.text for node in page.all("p") if node.attributes.get("class") == "further"]
    assert lead == [answer.text.strip().splitlines()[1]]
    assert lead[0].startswith("The fastest is onnxruntime in all 6 comparisons")
    assert "2.00 times as fast as pytorch" in lead[0]
    assert len(further) == 2
    assert "best accuracy" in further[0]
    assert "2 machines" in further[1]
    first_section = next(node for node in page.nodes if node.name == "section")
    assert first_section is answer


def test_table_of_a_machine_is_the_one_that_the_terminal_prints(page: made.Parsed) -> None:
    records = made.one_run()
    neutral = run_table(rows_of(records))
    (comparison,) = [
        block
        for section in page_of(records).sections
        for block in section.blocks
        if isinstance(block, Comparison)
    ]
    assert comparison.table.groups == neutral.groups
    assert [column.heading for column in comparison.table.columns] == [
        column.heading for column in neutral.columns
    ]


def test_machines_have_tables_of_their_own_and_runs_are_never_ranked_together(
    page: made.Parsed,
) -> None:
    tables = [node for node in page.all("table") if "rows" in node.attributes.get("class", "")]
    assert len(tables) == 2
    here, there = page_of(made.two_machines()).sections[0].blocks
    assert isinstance(here, Comparison)
    assert isinstance(there, Comparison)
    # Of two runs of one model the rows stand under one title, and are in no order together.
    numbers: dict[int, set[str]] = {}
    for number, entry in zip(here.alike, here.table.data, strict=True):
        numbers.setdefault(number, set()).add(f"{entry['run']} {entry['batch']} {entry['streams']}")
    assert all(len(kinds) == 1 for kinds in numbers.values())
    assert len(numbers) == 3 + 6


@pytest.mark.parametrize(
    ("records", "there", "not_there"),
    [
        (made.one_run(), ["latency-macs", "accuracy-latency", "over-time"], ["batches"]),
        (made.swept(), ["batches", "streams", "image-size"], ["accuracy-latency"]),
        (
            [record([launch([5.0, 5.1] * 10, number=number) for number in range(6)])],
            ["memory"],
            ["latency-macs", "batches", "streams", "image-size", "accuracy-latency"],
        ),
    ],
)
def test_section_is_there_only_with_data_for_it(
    records: list[Record], there: list[str], not_there: list[str]
) -> None:
    keys = sections_of(records)
    assert set(there) <= set(keys)
    assert not set(not_there) & set(keys)
    assert {"comparison", "verdicts", "machines", "repeat"} <= set(keys)


def test_every_chart_has_its_finding_in_words_and_its_data_as_a_table(page: made.Parsed) -> None:
    figures = page.all("figure")
    captions = page.all("figcaption")
    assert len(figures) == len(captions) >= 6
    assert all(len(caption.text) > 20 for caption in captions)
    tables = [node for node in page.all("table") if "figure" in node.inside]
    assert len(tables) == len(figures)
    assert all(len(node.text) > 40 for node in tables)
    for chart in page_of(made.two_machines()).charts:
        for view in chart.views:
            assert view.caption, chart.about.key
            assert view.table.lines, chart.about.key


def test_page_names_no_address_and_its_policy_forbids_all_that_is_not_in_it(
    page: made.Parsed,
) -> None:
    for node in page.nodes:
        for name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
            address = node.attributes.get(name, "#")
            assert address.startswith(("#", "data:")), f"{node.name} {name} {address}"
    (policy,) = [
        node.attributes["content"]
        for node in page.all("meta")
        if node.attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert policy.count("sha256-") == 2
    assert "script-src 'unsafe-inline'" not in policy


def test_page_of_one_run_is_small(page_path: object) -> None:
    assert len(made.html_of(made.one_run()).encode()) < 1.5e6


def test_page_is_the_same_bytes_for_the_same_records() -> None:
    assert made.html_of(made.one_run()) == made.html_of(made.one_run())


def test_headings_form_an_outline_and_each_section_is_named(page: made.Parsed) -> None:
    levels = [int(node.name[1]) for node in page.nodes if re.fullmatch(r"h[1-6]", node.name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    named = {node.attributes["aria-labelledby"] for node in page.all("section")}
    assert named <= {node.attributes.get("id") for node in page.all("h2")}
    index = [node.attributes["href"] for node in page.all("a") if "nav" in node.inside]
    assert {f"#{node.attributes['id']}" for node in page.all("section")} == set(index)


def test_rows_beyond_the_first_are_data_and_not_elements() -> None:
    few = made.visited(2.0, count=16)
    records = [
        few.replaced(cell=few.cell.replaced(batch=number))
        for number in range(1, SHOWN_AT_ONCE + 21)
    ]
    page = made.parsed(page_html(page_of(records)))
    shown = next(node for node in page.all("tbody")).text.count("pytorch")
    data = json.loads(page.of_id("page-data").text)
    assert len(data["comparisons"][0]["lines"]) == SHOWN_AT_ONCE + 20
    assert shown == SHOWN_AT_ONCE
    assert any("The first 150 of 170 rows" in node.text for node in page.all("noscript"))
    (over_time,) = [chart for chart in data["charts"] if chart["key"] == "over-time"]
    assert len(over_time["views"]) == MOST_TRACES


def test_verdicts_have_their_reasons_and_rows_their_commands(page: made.Parsed) -> None:
    noisy = made.visited(5.0, count=6, delivered=0.5, model="disturbed")
    page = made.parsed(made.html_of([*made.one_run(), noisy]))
    text = page.of_id("verdicts").text
    assert noisy.judgement.verdict.value in text
    assert "disturbed on pytorch" in text
    data = json.loads(page.of_id("page-data").text)
    comparison = data["comparisons"][0]
    commands = set()
    for line in comparison["lines"]:
        commands.add(" ".join(comparison["texts"][number] for number in line[6]))
    assert commands == {"deploybench run"}
