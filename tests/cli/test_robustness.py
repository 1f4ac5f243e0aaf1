"""What ends a command badly: a fault of ours, a terminal that lacks a character, a reader that went
away, a signal. None of it looks like a result."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import EXIT_CRASHED, EXIT_REFUSED, EXIT_TERMINATED
from deploybench.results.store import write_record
from tests.cli.processes import started_cli, wait_for
from tests.comparisons import record
from tests.conftest import Cli

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with two runs of the same speed, of a model with a name that ASCII lacks."""
    for run, versions in (("before", {"onnxruntime": "1.29"}), ("same", {"onnxruntime": "1.30"})):
        kept = record(STEADY, run, versions=versions, model="größe×模型")
        write_record(kept, Workspace(tmp_path).records_folder / run)
    return tmp_path


def broken_cli(
    statement: str, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """``deploybench ARGUMENTS`` after a statement that breaks something."""
    program = f"{statement}\nfrom deploybench.cli.main import main\nmain()"
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


BREAK_COMPARE = (
    "import deploybench.analysis.comparison as broken\n"
    "def compare_records(*arguments, **options): raise {error}\n"
    "broken.compare_records = compare_records"
)


@pytest.mark.parametrize(
    "error", ["ValueError('no such thing')", "EOFError()", "BrokenPipeError(32, 'of a child')"]
)
def test_crash_has_an_exit_code_of_its_own_and_a_short_report(
    error: str, root: Path, tmp_path: Path
) -> None:
    """Typer itself would end with 1 for the latter two: a regression."""
    done = broken_cli(
        BREAK_COMPARE.format(error=error),
        *("gate", "-b", "before", "-w", root),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
    )
    assert done.returncode == EXIT_CRASHED, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) <= 8
    assert "Traceback" not in done.stderr
    assert error.partition("(")[0] in done.stderr
    assert f"deploybench gate -b before -w {root}" in done.stderr
    assert re.search(r"deploybench \d.*Python 3", done.stderr)
    assert "in compare_records" in done.stderr
    assert "please report it" in done.stderr
    (path,) = (tmp_path / "cache" / "deploybench" / "crashes").iterdir()
    assert str(path) in done.stderr
    assert "Traceback (most recent call last)" in path.read_text()


@pytest.mark.parametrize("by_option", [True, False])
def test_whole_traceback_of_a_crash_is_printed_on_demand(root: Path, by_option: bool) -> None:
    arguments = ["--traceback"] if by_option else []
    environment = {} if by_option else {"DEPLOYBENCH_TRACEBACK": "1"}
    done = broken_cli(
        BREAK_COMPARE.format(error="ValueError('no such thing')"),
        *(*arguments, "gate", "-b", "before", "-w", root),
        **environment,
    )
    assert done.returncode == EXIT_CRASHED
    assert "Traceback (most recent call last)" in done.stderr


def test_traceback_is_printed_where_it_cannot_be_kept(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = broken_cli(
        BREAK_COMPARE.format(error="ValueError('no such thing')"),
        *("gate", "-b", "before", "-w", root),
        XDG_CACHE_HOME=str(tmp_path / "file"),
    )
    assert done.returncode == EXIT_CRASHED
    assert "Traceback (most recent call last)" in done.stderr


def test_crash_before_any_command_begins_is_a_crash_too(tmp_path: Path) -> None:
    broken = (
        "import deploybench.cli.main as m\n"
        "def application(words): raise RuntimeError('early')\n"
        "m.application = application"
    )
    done = broken_cli(broken, "gate", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == EXIT_CRASHED
    assert "RuntimeError: early" in done.stderr


def test_full_disk_is_no_crash(root: Path) -> None:
    error = "OSError(28, 'No space left on device', '/some/file')"
    done = broken_cli(BREAK_COMPARE.format(error=error), "gate", "-b", "before", "-w", root)
    assert done.returncode == EXIT_REFUSED
    assert "/some/file could not be written: No space left on device" in done.stderr


GATE = ["gate", "-b", "before", "--run-shift", "0%"]
"""Two made-up runs that did not shift: the gate passes."""


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_gate_passes_on_a_terminal_that_lacks_characters(
    encoding: dict[str, str], form: tuple[str, ...], root: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploybench", *GATE, *form, "-w", str(root)],
        capture_output=True,
        encoding="latin-1",
        env={**os.environ, **encoding},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout
    if form == ("--json",):
        assert json.loads(done.stdout)[0]["baseline_model"] == "größe×模型"
        assert done.stderr.isascii()
    else:
        assert "PASS" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("backends",),
        ("bound", "--model", "vit", "--profile", "xeon"),
        ("compare", "before", "same"),
        ("doctor",),
        ("models",),
        ("profiles",),
        ("profiles", "show", "rtx3090"),
        ("show", "same", "--details"),
    ],
    ids=" ".join,
)
def test_every_table_is_printed_in_ascii(arguments: tuple[str, ...], root: Path, cli: Cli) -> None:
    environment = {"PYTHONIOENCODING": "ascii", "DEPLOYBENCH_WORKSPACE": str(root)}
    done = cli(*arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert done.stdout.isascii()


def test_refusal_is_printed_in_ascii(root: Path, cli: Cli) -> None:
    done = cli("show", "größe", "-w", root, environment=ENCODINGS["ascii"])
    assert done.returncode == EXIT_REFUSED
    assert "there are no records at gr??e" in done.stderr


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHON": sys.executable, **environment},
        check=False,
    )


@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_reader_that_goes_away_changes_no_exit_code(root: Path, reader: str) -> None:
    slower = record([1.3 * ms for ms in STEADY], "slower", model="größe×模型")
    write_record(slower, Workspace(root).records_folder / "slower")
    gate = f'"$PYTHON" -m deploybench gate -b before slower -w "{root}"'
    assert shell(f"{gate} | {reader}").returncode == 1
    done = shell(f'"$PYTHON" -m deploybench models | {reader}')
    assert (done.returncode, done.stderr) == (0, "")


def test_output_that_cannot_be_written_is_said_once() -> None:
    done = shell('"$PYTHON" -m deploybench profiles > /dev/full')
    assert done.returncode == EXIT_REFUSED
    assert done.stderr.count("No space left on device") == 1


def test_closed_streams_are_no_crash() -> None:
    assert shell('"$PYTHON" -m deploybench profiles >&- 2>&-').returncode == 0


def test_user_without_a_home_or_a_name_sees_the_table(root: Path, cli: Cli) -> None:
    nobody = "import pathlib\ndef home(): raise RuntimeError('no home')\npathlib.Path.home = home"
    environment = {"XDG_CACHE_HOME": "", "HOME": ""}
    for arguments in (["doctor"], GATE):
        done = broken_cli(nobody, *arguments, "-w", root, **environment)
        assert done.returncode == 0, done.stderr


def test_missing_temporary_folder_is_no_crash(root: Path, cli: Cli) -> None:
    done = cli(*GATE, "-w", root, environment={"TMPDIR": "/nowhere"})
    assert done.returncode == 0, done.stderr


def test_sigterm_shows_what_was_measured_and_where_it_is_in_a_log_without_animation(
    tiny_workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    forced = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1"}
    arguments = ["run", "-w", str(tmp_path), "-r", "onnxruntime", "--rounds", "200"]
    arguments += ["--duration", "50ms", "--json"]
    with started_cli(*arguments, stderr=subprocess.PIPE, environment=forced) as child:
        wait_for(lambda: list(tmp_path.glob("records/*/*.json")))
        child.terminate()
        output, log = child.communicate(timeout=60)
    assert child.returncode == EXIT_TERMINATED == 128 + signal.SIGTERM
    assert json.loads(output)[0]["launches"] > 0
    (run,) = (tmp_path / "records").iterdir()
    assert f"records: {run}" in re.sub(r"\x1b\[[0-9;]*m", "", log)
    assert log.splitlines()[-1].endswith("terminated")
    assert re.search(r"^ +\d+:\d\d  round 1: .*onnxruntime", log, re.MULTILINE)
    assert "\r" not in log
    assert not re.search(r"\x1b\[[0-9;?]*[A-Zhl]", log), "only colours, no movement"
