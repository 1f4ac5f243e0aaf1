"""Words of others are only seen: on every printer, in every field, whatever they hold."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from deploybench.cli.crash import report_crash
from deploybench.cli.guard import explain, print_error
from deploybench.documents import Document
from deploybench.errors import EXIT_REFUSED, DeployBenchError
from deploybench.inert import LONGEST_WORD, SHORTENED, inert, no_formula, shortened
from deploybench.report.console import progress_bar, remark
from deploybench.report.data import report_csv, report_json
from deploybench.report.markdown import report_markdown
from deploybench.report.prediction_table import prediction_report
from deploybench.report.step_log import StepLog
from deploybench.report.table import Column, Note, Prose, Report, Style, table_of
from deploybench.report.terminal import print_sections

HOSTILE = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil\x1b\\here\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "c1": "\x9b31mred",
    "markup that closes": "net[/]",
    "markup": "[bold red on blue]x[/bold red on blue][link=http://evil]y[/link]",
    "broken markup": "[/x] [",
    "newlines": "one\ntwo\r\nthree\x0bfour\x0cfive\u2028six\u2029seven\x85eight",
    "carriage return": "FAILED\rVALID ",
    "tabs": "a\tb",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200e",
    "zero width": "re\u200bs\u200dn\ufeffet\u2060",
    "surrogate": "caf\udce9",
    "nul": "a\0b",
    "backspace": "VALID\b\b\b\b\bWRONG",
    "emoji code": ":smile: :skull:",
    "bars": "a | b || c",
    "html": "<script>alert(1)</script> <img src=x> &lt; <!-- x",
    "markdown": "**x** `y` ~~z~~ _u_ [t](http://evil) ![i](http://evil) $m$",
    "fence": "```\n# heading",
    "heading": "# heading",
    "formula": "=cmd|' /C calc'!A0",
    "long": "x" * 400,
    "long with spaces": "many words " * 40,
    "wide": "模型" * 200,
    "combining": "e" + "\u0301" * 300,
    "format string": "{0} %s %(x)s {name}",
    "empty": "",
}
ANY_TEXT = st.one_of(
    st.sampled_from(sorted(HOSTILE.values())),
    st.text(st.characters(codec=None), max_size=60),
    st.lists(st.sampled_from([*"\x1b[]/\\|`*_<>&\n\r\t =+-@#$~\u202e\u200b\udc80", "a", "1"])).map(
        "".join
    ),
)


class Named(Document):
    name: str


def acts(text: str) -> set[str]:
    """The characters that would do something on a terminal, line ends of ours apart."""
    return {
        character
        for character in text
        if character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    }


def report_of(words: str) -> Report:
    """A report that holds the words in every field that a report has."""
    columns = (
        Column[str]("name", words, str, unit=words),
        Column[str]("folds", "folds", str, folds=True, priority=2),
        Column[str]("number", "n", str, lambda row: 1.5, number=True, style=lambda row: Style.BAD),
        Column[str](words, "key", str, lambda row: [row, {row: row}]),
    )
    table = table_of(
        columns,
        [words, "plain"],
        group=lambda row: row,
        name=lambda row: row,
        notes=lambda row: [Note(row, row, row)],
        title=words,
        legend=words,
    )
    prose = [Prose((words, words), style, words) for style in Style]
    verbatim = Prose((words,), title=words, verbatim=True)
    return Report((table, *prose, verbatim), data={words: [words]})


def on_a_terminal(report: Report, width: int) -> str:
    stream = io.StringIO()
    print_sections(report, Console(file=stream, width=width, highlight=False))
    return stream.getvalue()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=ANY_TEXT, width=st.sampled_from([20, 80, 112]))
def test_no_printer_hands_on_what_acts_and_none_crashes(
    words: str, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_of(words)
    printed = [
        on_a_terminal(report, width),
        report_markdown(report),
        report_csv(report),
        report_json(report),
    ]
    print_error(DeployBenchError(words, expected=words, action=words))
    report_crash(RuntimeError(words))
    remark(words, "yellow")
    StepLog().step(words)
    caught = capsys.readouterr()
    for text in (*printed, caught.out, caught.err):
        assert not acts(text)
        text.encode()
    assert json.loads(report_json(report)) == {words: [words]}


def _as_a_refusal(words: str) -> str:
    stream = io.StringIO()
    print_sections(Report((Prose((words,)),)), Console(file=stream, width=112, highlight=False))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        pytest.param(
            "colour",
            r"\x1b[31mred",
            marks=pytest.mark.trust(
                item=23,
                case="a model or a class called ESC[31mred, or with codes for title and clipboard",
                before="the codes reached the terminal from tables, remarks and the progress bar; "
                "a refusal dropped the colour's",
                now=r"printed as \x1b[31mred",
            ),
        ),
        ("clipboard", r"\x1b]52;c;cm0gLXJm\x07"),
        ("c1", r"\x9b31mred"),
        ("newlines", "one two three four five six seven eight"),
        pytest.param(
            "carriage return",
            "FAILED VALID",
            marks=pytest.mark.trust(
                item=23,
                case="a reason with a carriage return or a line break in it",
                before="the carriage return reached the terminal in a refusal (VALID over FAILED), "
                "a table had FAILEDVALID; a line break made two lines",
                now="one line, with a space in its place",
            ),
        ),
        ("tabs", "a b"),
        pytest.param(
            "bidi",
            r"\u202egnp.exe\u202c \u2066x\u2069 \u200e",
            marks=pytest.mark.trust(
                item=23,
                case="a name with marks of the writing direction or of no width",
                before="the marks reached the terminal: another name is shown",
                now=r"the marks are spelled out: \u202e",
            ),
        ),
        ("zero width", r"re\u200bs\u200dn\ufeffet\u2060"),
        ("surrogate", r"caf\udce9"),
        ("markup that closes", "net[/]"),
        ("emoji code", ":smile: :skull:"),
        ("format string", "{0} %s %(x)s {name}"),
    ],
)
def test_what_acts_is_spelled_out_and_all_else_stays(kind: str, seen: str) -> None:
    assert inert(HOSTILE[kind]).rstrip() == seen
    assert _as_a_refusal(HOSTILE[kind]).rstrip() == seen
    assert inert("größe×模型 – 3 µs 🙂 « é »") == "größe×模型 – 3 µs 🙂 « é »"


@pytest.mark.trust(
    item=23,
    case="the progress bar at a model called net[/]",
    before="crashed: rich.errors.MarkupError",
    now="net[/]",
)
def test_progress_bar_takes_no_name_for_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar() as bar:
        assert isinstance(bar, Progress)
        for words in HOSTILE.values():
            task = bar.add_task(inert(words), total=1)
            bar.update(task, description=inert(words))
        bar.refresh()
    assert "net[/]" in terminal.getvalue()


@pytest.mark.trust(
    item=23,
    case="a refusal or a remark that quotes net[/] or [red]x[/red]",
    before="a refusal printed them; a remark crashed (MarkupError) or printed xy",
    now="printed as it is",
)
def test_remark_takes_no_name_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("markup", "markup that closes", "broken markup"):
        remark(HOSTILE[kind])
        assert HOSTILE[kind] in capsys.readouterr().err


@pytest.mark.trust(
    item=23,
    case="predict with a class name of 400 characters",
    before="one line of 406 characters, and three lines for each class",
    now="shortened in the middle; JSON has it whole",
)
def test_label_of_400_characters_does_not_break_the_table() -> None:
    classes = [
        {"index": 0, "name": "x" * 400, "probability": 0.9},
        {"index": 1, "name": "cat", "probability": 0.1},
    ]
    report = prediction_report([{"image": "photo.png", "classes": classes}])
    lines = on_a_terminal(report, 112).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 112
    assert all(len(line.split()) >= 4 for line in lines[2:])
    assert "x" * 400 in report_json(report)


def test_only_words_that_are_none_of_ours_are_shortened() -> None:
    longest = "x" * LONGEST_WORD
    assert shortened(f"{longest} and {longest}") == f"{longest} and {longest}"
    cut = shortened(f"a {longest}y b")
    assert len(cut) == SHORTENED + 4
    assert cut.startswith("a xxx")
    assert cut.endswith("xy b")


@pytest.mark.trust(
    item=23,
    case="Markdown of names with bars, HTML, fences of code, headings, links",
    before="&lt;, ~~x~~, _u_, # and 1. left as they are, so rendered; ``` ended the block of "
    "commands; bars and < were escaped",
    now="shown as they are",
)
def test_markdown_shows_words_as_they_are() -> None:
    def one(words: str) -> str:
        return report_markdown(Report((Prose((words,)),)))

    assert one("<b> &lt; ~~x~~ _u_ a_b $m$") == r"\<b\> \&lt; \~\~x\~\~ \_u\_ a_b \$m\$"
    assert one("# heading") == r"\# heading"
    assert one("1. first") == r"1\. first"
    assert one("-----") == r"\-----"
    assert one("-1.5 ms") == "-1.5 ms"
    fenced = report_markdown(Report((Prose(("a ``` b", "````"), verbatim=True),)))
    assert fenced.splitlines() == ["`````", "a ``` b", "````", "`````"]
    row = report_markdown(Report((table_of([Column[str]("a", "a", str)], ["x | y\nz"]),)))
    assert row.splitlines()[2] == r"| x \| y z |"


@pytest.mark.trust(
    item=23,
    case="CSV of a model called =cmd|' /C calc'!A0",
    before="written as it is: a spreadsheet takes the cell for a formula",
    now="a text: an apostrophe stands before it; figures with a sign stay",
)
@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("@SUM(1)", "'@SUM(1)"),
        ("+1+cmd|x", "'+1+cmd|x"),
        ("-1+1", "'-1+1"),
        ("\t=1", " =1"),
        ("-1.5", "-1.5"),
        ("+3.2%", "+3.2%"),
        ("-1e-3 ms", "-1e-3 ms"),
        ("vit", "vit"),
        ("–", "–"),
    ],
)
def test_csv_holds_no_formula(text: str, cell: str) -> None:
    assert no_formula(inert(text)) == cell
    report = Report((table_of([Column[str]("name", "name", str)], [text]),))
    assert next(csv.DictReader(io.StringIO(report_csv(report))))["name"] == cell


@pytest.mark.trust(
    item=23,
    case="a workspace whose path does not decode (w\\xff)",
    before="crashed: PydanticSerializationError, surrogates not allowed",
    now="refused: a name is no text in this system's encoding; rename it",
)
def test_name_that_does_not_decode_is_refused_where_it_would_be_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for write in (lambda: "\udcff".encode(), lambda: Named(name="\udcff").model_dump_json()):
        with pytest.raises(ValueError, match="surrogates") as raised:
            write()
        assert explain(raised.value) == EXIT_REFUSED
        assert "is no text in this system's encoding" in capsys.readouterr().err
