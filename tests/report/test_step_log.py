"""The lines of a log: one a step, no silence, no animation."""

from __future__ import annotations

import re
import sys
import time
from io import StringIO

import pytest
from rich.progress import Progress

from deploybench.report.console import progress_bar
from deploybench.report.step_log import StepLines, StepLog


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_each_step_is_one_line_with_the_time_and_what_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 0.0, 0.0, 0.0, 61.0, 61.0, 3700.0, 3700.0])
    with StepLines(StepLog(clock=lambda: next(times))) as lines:
        task = lines.add_task("measuring", total=2)
        lines.update(task, description="round 1: vit")
        lines.advance(task)
        lines.update(task, completed=1)
        lines.update(task, description="round 2: vit")
        lines.update(task, completed=2)
    assert capsys.readouterr().err.splitlines() == [
        "   0:00  round 1: vit (0 of 2 done)",
        "   1:01  round 2: vit (1 of 2 done)",
        "1:01:40  2 of 2 done",
    ]


def test_silence_is_broken_with_what_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    log = StepLog(longest_silence_s=0.05)
    with log.under_way("deploybench run"):
        time.sleep(0.2)
        log.step("round 1: vit")
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    steps = lines.index("   0:00  round 1: vit")
    assert any(re.search("still at it after .*: deploybench run$", line) for line in lines[:steps])
    assert any(re.search("still at it after .*: round 1: vit$", line) for line in lines[steps:])
    time.sleep(0.15)
    assert capsys.readouterr().err == "", "nothing is said once it is over"


def test_work_that_has_begun_is_named_when_it_lasts_and_not_what_ended_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = StepLog(longest_silence_s=0.05)
    with log.under_way("deploybench study"):
        with StepLines(log) as lines:
            lines.update(lines.add_task("reading the data", total=5), completed=5)
        with StepLines(log) as lines:
            lines.add_task("training vit", total=8)
            time.sleep(0.2)
    told = capsys.readouterr().err
    assert "5 of 5 done" in told
    assert "still at it after 0:00: training vit" in told
    assert "still at it after 0:00: 5 of 5 done" not in told


def test_step_that_is_told_in_time_is_no_silence(capsys: pytest.CaptureFixture[str]) -> None:
    log = StepLog(longest_silence_s=0.5)
    with log.under_way("deploybench run"):
        for _ in range(8):
            time.sleep(0.1)
            log.step("next")
    assert "still" not in capsys.readouterr().err


def test_nothing_is_said_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with StepLog(longest_silence_s=0.01).under_way("deploybench run"):
        time.sleep(0.1)
    assert terminal.getvalue() == ""


def test_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    StepLog().step("round 1")


@pytest.mark.parametrize("name", ["FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"])
def test_forced_colours_animate_no_log(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    assert isinstance(progress_bar(), StepLines)


def test_terminal_has_a_bar_unless_it_cannot_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_bar(), Progress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_bar(), StepLines)
