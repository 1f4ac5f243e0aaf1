"""One table, four printers: what is declared once is printed whole, at any width."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass

import pytest
from rich.console import Console

from deploybench.report.console import LEAST_WIDTH, PIPE_WIDTH, output_console
from deploybench.report.data import report_csv, report_json
from deploybench.report.markdown import report_markdown
from deploybench.report.table import Column, Note, Prose, Report, Style, Table, table_of
from deploybench.report.terminal import fold, print_sections


@dataclass(frozen=True)
class Tool:
    name: str
    cost: float
    remark: str
    broken: bool = False


COLUMNS = (
    Column[Tool]("name", "tool", lambda tool: tool.name),
    Column[Tool](
        "cost", "cost", lambda tool: f"{tool.cost:.1f}", lambda tool: tool.cost, "EUR", number=True
    ),
    Column[Tool]("remark", "what it is for", lambda tool: tool.remark, folds=True, priority=2),
    Column[Tool](
        "state",
        "state",
        lambda tool: "broken" if tool.broken else "works",
        style=lambda tool: Style.BAD if tool.broken else Style.GOOD,
    ),
)
TOOLS = (
    Tool("hammer", 12.25, "drives nails into wood, and out of it again with its other side"),
    Tool("saw", 9.0, "cuts | boards", broken=True),
    Tool("screwdriver-with-a-long-name", 3.5, "turns screws", broken=True),
)


def tools(tools: tuple[Tool, ...] = TOOLS, **more: str) -> Table:
    return table_of(
        COLUMNS,
        tools,
        name=lambda tool: tool.name,
        notes=lambda tool: (
            [Note("it is broken", f"broken on day {len(tool.name)}", "repair it")]
            if tool.broken
            else []
        ),
        **more,
    )


def printed(report: Report, width: int) -> str:
    stream = io.StringIO()
    print_sections(report, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@pytest.mark.parametrize("width", [36, 40, 60, 80, 200])
def test_every_column_and_every_word_is_there_at_any_width(width: int) -> None:
    text = printed(Report((tools(legend="cost: in the shop"),)), width)
    words = text.split()
    for tool in TOOLS:
        assert {tool.name, f"{tool.cost:.1f}", *tool.remark.split()} <= set(words)
    for heading in ("tool", "cost EUR", "what it is for", "state"):
        assert heading in " ".join(words)
    assert max(map(len, text.splitlines())) <= width
    assert [line for line in text.splitlines() if line.startswith("hammer")]


def test_columns_leave_the_line_by_priority_and_the_first_never() -> None:
    lines = printed(Report((tools(),)), 52).splitlines()
    assert lines[0].split() == ["tool", "cost", "EUR", "state"]
    assert lines[2].split() == ["hammer", "12.2", "works"]
    assert lines[3].strip().startswith("what it is for drives nails")


def test_running_text_is_folded_between_words_before_a_column_leaves() -> None:
    lines = printed(Report((tools(),)), 80).splitlines()
    assert lines[0].split() == ["tool", "cost", "EUR", "what", "it", "is", "for", "state"]
    assert len(lines[3]) - len(lines[3].lstrip()) > len("screwdriver-with-a-long-name")


def test_word_that_is_longer_than_the_page_stays_whole() -> None:
    assert fold("a /very/long/path/of/some/file b", 10) == [
        "a",
        "/very/long/path/of/some/file",
        "b",
    ]


def test_verbatim_lines_are_not_folded() -> None:
    command = "deploybench run --model resnet18 --runner onnxruntime --rounds 12"
    assert command in printed(Report((Prose((command,), verbatim=True),)), 20).splitlines()


def test_notes_are_merged_by_their_cause_and_one_alone_says_its_details() -> None:
    text = printed(Report((tools(),)), 100)
    assert "[1] saw, screwdriver-with-a-long-name: it is broken" in text
    assert text.count("→ [1] repair it") == 1
    assert "[1] saw: broken on day 3" in printed(Report((tools(TOOLS[:2]),)), 100)
    many = tuple(Tool(f"saw {number}", 1.0, "", broken=True) for number in range(17))
    assert "[1] 17 rows: it is broken" in printed(Report((tools(many),)), 100)


def test_markdown_has_a_row_a_line_with_bars_escaped_and_the_notes_at_its_end() -> None:
    lines = report_markdown(Report((tools(),))).splitlines()
    assert lines[0] == "| tool | cost EUR | what it is for | state | why |"
    assert lines[1] == "| --- | ---: | --- | --- | --- |"
    assert lines[3] == r"| saw | 9.0 | cuts \| boards | broken | broken on day 3 → repair it |"


def test_json_and_csv_hold_the_data_under_the_keys_of_the_columns() -> None:
    report = Report((tools(),))
    found = json.loads(report_json(report))
    assert found[0] == {
        "name": "hammer",
        "cost": 12.25,
        "remark": TOOLS[0].remark,
        "state": "works",
    }
    rows = list(csv.DictReader(io.StringIO(report_csv(report))))
    assert [row["cost"] for row in rows] == ["12.25", "9.0", "3.5"]


def test_csv_of_several_tables_says_which_table_a_line_is_of() -> None:
    other = table_of([Column[str]("word", "word", str)], ["x"], title="words")
    rows = list(csv.DictReader(io.StringIO(report_csv(Report((tools(title="tools"), other))))))
    assert [(row["table"], row["name"], row["word"]) for row in rows] == [
        ("tools", "hammer", ""),
        ("tools", "saw", ""),
        ("tools", "screwdriver-with-a-long-name", ""),
        ("words", "", "x"),
    ]


@pytest.mark.parametrize(
    ("columns", "width"), [("0", PIPE_WIDTH), ("20", 20), ("7", LEAST_WIDTH), ("100", 100)]
)
def test_width_is_that_of_columns_unless_it_is_none(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert output_console().width == width
