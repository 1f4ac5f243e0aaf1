"""The live view of a run: by the events that it is told, and in a real terminal."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from deploybench.analysis.visit_progress import VisitWidths
from deploybench.artifacts.artifact import Artifact
from deploybench.children.resident import CAN_REST
from deploybench.cli import live as module
from deploybench.cli import progress as progress_module
from deploybench.cli.live import LiveView, names_of
from deploybench.cli.progress import Progress
from deploybench.plan.cells import Planned
from deploybench.report.console import Showing
from deploybench.results.record import Record
from deploybench.runs.events import (
    CellLook,
    LaunchedAfresh,
    LaunchStarted,
    RecordUpdated,
    RunPlanned,
    SpeedRemarked,
    VisitsMade,
)
from tests.artifacts.workspaces import ONNX as ONNX_ARTIFACT
from tests.artifacts.workspaces import PYTORCH as PYTORCH_ARTIFACT
from tests.artifacts.workspaces import kept_workspace
from tests.records import cell, launch, record

pyte = pytest.importorskip("pyte", reason="the extra dev is not installed")
ARTIFACT = cast(Artifact, SimpleNamespace(path=Path("/a")))
ONNX = Planned(cell(runner="onnxruntime"), ARTIFACT, None)
OPENVINO = Planned(cell(runner="openvino"), ARTIFACT, None)
SKIPPED = Planned(cell(runner="inductor"), ARTIFACT, "left out")
PLAN = RunPlanned((ONNX, OPENVINO, SKIPPED), Path("/records"))


class Watched:
    """A live view on a made-up terminal of 80 x 20, whose clock a test moves."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.size = (80, 20)
        self.now = 0.0
        self.console = Console(
            file=self.file, force_terminal=True, width=80, height=20, highlight=False
        )
        self.view = LiveView(self.console, clock=lambda: self.now)

    @property
    def screen(self) -> pyte.Screen:
        screen = pyte.Screen(*self.size)
        pyte.Stream(screen).feed(self.file.getvalue().replace("\n", "\r\n"))
        return screen

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def row(self, name: str) -> list[str]:
        (line,) = [line for line in self.text.splitlines() if line.startswith(f"net {name}")]
        return line.split()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def look(planned: Planned, half_width: float, *, known: bool = True, visits: int = 8) -> CellLook:
    widths = VisitWidths(half_width, None, known=known, grow=1.0, time_ms=12.3456)
    return CellLook(planned, widths, visits, 1)


def visits_made(*looks: CellLook, delivered: float | None = 0.9) -> VisitsMade:
    known = sum(one.widths.narrow(0.01) for one in looks)
    return VisitsMade(8, known, len(looks), 30.0, 0.01, 120.0, delivered, looks)


def test_intervals_shrink_until_their_row_is_known(watched: Watched) -> None:
    watched.view.begin(PLAN)
    assert watched.row("onnxruntime")[-1] == "waiting"
    assert "inductor" not in watched.text
    assert "0 of 2 rows known, 1 skipped" in watched.text
    watched.view.tell(LaunchStarted(ONNX, 0))
    assert watched.row("onnxruntime")[-1] == "starting"
    assert "starting net onnxruntime fp32" in watched.text

    bars = []
    for half_width in (0.4, 0.05, 0.02):
        watched.view.tell(visits_made(look(ONNX, half_width), look(OPENVINO, 0.3)))
        bars.append("".join(re.findall("[├─●┤]", " ".join(watched.row("onnxruntime")))))
    assert [len(bar) for bar in bars] == sorted((len(bar) for bar in bars), reverse=True)
    watched.view.tell(visits_made(look(ONNX, 0.008), look(OPENVINO, 0.3)))
    assert watched.row("onnxruntime")[3:] == ["12.35", "0.8%", "●", "8", "known"]
    assert watched.row("openvino")[-1] == "measuring"
    assert "1 of 2 rows known" in watched.text
    assert "90% of its own speed now" in watched.text
    assert "at most 30 s left" in watched.text


def test_row_that_is_narrow_and_cannot_be_trusted_is_not_known(watched: Watched) -> None:
    watched.view.begin(PLAN)
    watched.view.tell(visits_made(look(ONNX, 0.001, known=False)))
    assert watched.row("onnxruntime")[-1] == "measuring"
    assert watched.row("onnxruntime")[3] == "≈12.35"


def test_records_end_rows_with_what_became_of_them(watched: Watched) -> None:
    watched.view.begin(PLAN)
    watched.view.tell(LaunchStarted(ONNX, 0))
    watched.now = 5.0
    one = record([launch([1.0] * 8)], runner="onnxruntime", complete=False)
    watched.view.tell(RecordUpdated(one))
    assert watched.row("onnxruntime")[3:] == ["–", "–", "–", "started"]
    made = record([launch([1.0] * 8)], runner="onnxruntime")
    watched.now = 10.0
    watched.view.tell(RecordUpdated(made.model_copy(update={"stopped": "precise"})))
    assert watched.row("onnxruntime")[-1] == "known"
    watched.now = 20.0
    other: Record = record([launch([2.0] * 8)], runner="openvino")
    watched.view.tell(RecordUpdated(other.model_copy(update={"stopped": "spent"})))
    assert watched.row("openvino")[-2:] == ["time", "spent"]
    assert watched.row("openvino")[3] == "2.000"


def test_frame_is_gone_at_the_end_and_remarks_stay(watched: Watched) -> None:
    watched.view.begin(PLAN)
    watched.view.remark("the machine\x1b[2J slept")
    watched.view.tell(visits_made(look(ONNX, 0.2)))
    assert watched.screen.cursor.hidden
    watched.view.end()
    assert watched.text == "the machine\\x1b[2J slept"
    assert not watched.screen.cursor.hidden
    assert "\x1b[2J" not in watched.file.getvalue()


def test_another_size_begins_the_picture_anew(watched: Watched) -> None:
    watched.view.begin(PLAN)
    watched.view.remark("a remark")
    watched.console.size = replace_size(60, 12)
    watched.size = (60, 12)
    watched.view.tell(visits_made(look(ONNX, 0.2)))
    assert watched.text.count("measuring round") == 1
    assert watched.text.startswith("a remark\nmeasuring round")
    watched.view.end()
    assert watched.text == "a remark"


def replace_size(width: int, height: int) -> object:
    from rich.console import ConsoleDimensions

    return ConsoleDimensions(width, height)


def test_nothing_is_drawn_but_when_something_is_told(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread writes while a process is measured."""
    import threading

    before = threading.active_count()
    watched.view.begin(PLAN)
    assert threading.active_count() == before
    written = len(watched.file.getvalue())
    watched.view.tell(SpeedRemarked("words"))
    assert len(watched.file.getvalue()) == written
    # A burst of records is one picture.
    for _ in range(20):
        watched.view.tell(RecordUpdated(record([launch([1.0] * 8)], runner="onnxruntime")))
    assert len(watched.file.getvalue()) == written


def test_interrupt_waits_until_a_frame_is_whole(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a frame would stay for ever: nobody would know how many of its lines are there."""
    watched.view.begin(PLAN)
    whole = module.frame_lines

    def interrupted(*args: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return whole(*args)

    monkeypatch.setattr(module, "frame_lines", interrupted)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        watched.view.tell(visits_made(look(ONNX, 0.2)))
    assert signal.getsignal(signal.SIGINT) is before
    assert "measuring round 9" in watched.text
    watched.view.end()
    assert watched.text == ""


def test_cells_of_one_name_are_told_apart_by_their_size() -> None:
    cells = [cell(image_size=(size, size)) for size in (224, 384)]
    assert names_of(cells) == ["net pytorch fp32 224 px", "net pytorch fp32 384 px"]
    assert names_of([cell(batch=8)]) == ["net pytorch fp32 batch 8"]


def test_progress_shows_it_on_a_terminal_and_lines_where_that_is_not_wanted(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_module, "terminal_console", lambda: watched.console)
    with Progress() as progress:
        progress.tell(PLAN)
        progress.tell(visits_made(look(ONNX, 0.2)))
        progress.tell(LaunchedAfresh(OPENVINO, "memory for one process only"))
        assert "launched for every look, memory for one process only" in watched.text
        assert watched.row("onnxruntime")[-1] == "measuring"
    assert "measuring round" not in watched.text
    written = len(watched.file.getvalue())
    for showing, words in ((Showing.LINES, "1 of 1 rows known"), (Showing.NOTHING, "")):
        capsys.readouterr()
        with Progress(showing=showing) as progress:
            progress.tell(PLAN)
            progress.tell(visits_made(look(ONNX, 0.001)))
            progress.tell(SpeedRemarked("the machine was faster than ever"))
        said = capsys.readouterr().err
        assert words in said
        assert bool(said) == bool(words)
    assert len(watched.file.getvalue()) == written


MOVES = re.compile(rb"\x1b\[[?\d;]*[^?\d;m]")
"""What a terminal is told but colours: where the cursor goes, what is taken away."""
needs_terminal = pytest.mark.skipif(
    not CAN_REST or sys.platform != "linux", reason="this system stops no processes"
)


@needs_terminal
def test_run_in_a_terminal_shows_rows_follows_its_size_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    from tests.cli.terminal import Terminal

    workspace = kept_workspace(tmp_path / "workspace", ONNX_ARTIFACT, PYTORCH_ARTIFACT)
    output = tmp_path / "table.json"
    arguments = [
        *("run", "-w", str(workspace.root), "-r", "onnxruntime,pytorch", "--trust"),
        *("--budget", "60s", "--precision-target", "0.1%", "--duration", "20ms", "--json"),
    ]
    with Terminal(arguments, 80, 24, output) as terminal:
        assert terminal.until(lambda: bool(re.search(r"measuring round \d+", terminal.text)))
        for words in ("of its own speed now", "onnxruntime fp32", "pytorch fp32"):
            assert terminal.until(lambda words=words: words in terminal.text), terminal.text
        assert terminal.until(lambda: terminal.text.count("rows known") == 1)
        assert max(map(len, terminal.lines)) <= 80

        terminal.resize(60, 14)
        seen = len(terminal.raw)
        # Pictures that were on their way are of the old size; then the screen is cleared.
        assert terminal.until(
            lambda: (
                b"looks" in terminal.raw[seen:].partition(b"\x1b[2J")[2].partition(b"rows known")[2]
            )
        )
        assert terminal.until(lambda: terminal.text.count("rows known") == 1)
        assert max(map(len, terminal.lines)) <= 60

        terminal.press(b"\x03")
        terminal.to_the_end()
    assert terminal.code == 130
    assert "rows known" not in terminal.text, (terminal.text, terminal.raw[seen:])
    assert "interrupted" in terminal.text
    assert not terminal.screen.cursor.hidden
    rows = json.loads(output.read_text())
    assert {row["runner"] for row in rows} == {"onnxruntime", "pytorch"}


@needs_terminal
def test_no_live_in_a_terminal_writes_lines_and_moves_no_cursor(
    tmp_path: Path,
) -> None:
    from tests.cli.terminal import Terminal

    workspace = kept_workspace(tmp_path / "workspace", ONNX_ARTIFACT)
    arguments = [
        *("run", "-w", str(workspace.root), "-r", "onnxruntime", "--budget", "2s"),
        *("--duration", "20ms", "--json"),
    ]
    with Terminal([*arguments, "--no-live"], 100, 40, tmp_path / "one.json") as lines:
        lines.to_the_end()
    assert b"rows known" in lines.raw or b"row known" in lines.raw
    assert not MOVES.search(lines.raw)
    with Terminal([*arguments, "--quiet"], 100, 40, tmp_path / "other.json") as quiet:
        quiet.to_the_end()
    assert b"round" not in quiet.raw
    assert b"\x1b[?25l" not in quiet.raw
    assert (lines.code, quiet.code) == (0, 0)
