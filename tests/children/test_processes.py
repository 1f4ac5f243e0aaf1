"""Children: what they may import, which encoding they write, and what is said when they cannot
start."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from deploybench.children import processes
from deploybench.children.inherited import can_pin
from deploybench.children.processes import Interpreter, python_module, run_child
from deploybench.errors import DeployBenchError
from tests.conftest import run_cli

SHADOWS = ("statistics", "numpy", "random", "psutil", "tempfile", "pydantic", "torch")
CHILD = """
import json, os, random, statistics, sys
import numpy, psutil
from deploybench.children.processes import finish

def main():
    threads = {}
    if hasattr(os, "sched_getaffinity"):
        for thread in os.listdir("/proc/self/task"):
            threads[thread] = sorted(os.sched_getaffinity(int(thread)))
    reply = {
        "asked": sys.stdin.read(), "here": sys.argv[1:], "path": sys.path, "threads": threads
    }
    finish(json.dumps(reply))

if __name__ == "__main__":
    main()
"""

can_be_pinned = pytest.mark.skipif(not can_pin(), reason="this system pins no processes")


@pytest.fixture
def shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder full of modules that nobody may import, beside a child module elsewhere."""
    here, library = tmp_path / "here", tmp_path / "library"
    here.mkdir()
    library.mkdir()
    for name in SHADOWS:
        (here / f"{name}.py").write_text(f"raise SystemExit('{name} of the current folder')")
    (library / "small_child.py").write_text(CHILD)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", str(library))
    return here


def test_worker_does_not_import_from_the_current_folder(shadowed: Path) -> None:
    outcome = run_child("small_child", "{}", time_limit_s=60)
    assert outcome.error is None, outcome.log
    assert str(shadowed) not in (outcome.reply or b"").decode()


def test_empty_entry_of_the_search_path_is_not_the_current_folder(
    shadowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f":{os.environ['PYTHONPATH']}:")
    assert run_child("small_child", "{}", time_limit_s=60).error is None


def test_python_without_a_safe_path_does_not_import_from_the_current_folder_either(
    shadowed: Path, tmp_path: Path
) -> None:
    command = [
        *python_module("small_child", Interpreter(sys.executable, (3, 10))),
        str(tmp_path / "reply.json"),
    ]
    assert "-P" not in command
    done = subprocess.run(command, input="asked", text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    reply = (tmp_path / "reply.json").read_text()
    assert '"asked": "asked"' in reply
    assert str(tmp_path / "reply.json") in reply
    assert str(shadowed) not in reply


@pytest.mark.parametrize("safe_path_since", [(3, 11), (9, 0)])
def test_forked_child_does_not_import_from_the_current_folder(
    shadowed: Path, safe_path_since: tuple[int, int]
) -> None:
    """Nor does the server, which imports for all. (9, 0): as on a Python that knows no safe
    path."""
    program = (
        "import sys; del sys.path[0]\n"
        "from deploybench.children import processes\n"
        f"processes.SAFE_PATH_SINCE = {safe_path_since}\n"
        "if __name__ == '__main__':\n"
        "    done = processes.run_forked('small_child', '{}', preload=('numpy', 'statistics'),"
        " time_limit_s=60)\n"
        "    print(done.error, done.log, done.reply)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("None  b'"), done.stdout + done.stderr
    assert "of the current folder" not in done.stdout + done.stderr


def test_command_does_not_import_from_the_current_folder(shadowed: Path) -> None:
    done = run_cli("profiles", cwd=shadowed)
    assert done.returncode == 0, done.stderr


def test_child_speaks_utf_8_whatever_the_locale(
    shadowed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }.items():
        monkeypatch.setenv(name, value)
    outcome = run_child("small_child", "größer", time_limit_s=60)
    assert outcome.error is None, outcome.log
    assert "gr\\u00f6\\u00dfer" in (outcome.reply or b"").decode()


def test_no_temporary_folder_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*arguments: object, **options: object) -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "mkdtemp", nowhere)
    for run in (
        lambda: run_child("small_child", "", time_limit_s=1),
        lambda: processes.run_forked("small_child", "", preload=(), time_limit_s=1),
    ):
        with pytest.raises(DeployBenchError, match="no temporary folder") as caught:
            run()
        assert "TMPDIR" in str(caught.value)


def test_servers_that_start_side_by_side_leave_the_environment_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    delays = iter([0.05, 0.15])
    monkeypatch.setattr(
        "multiprocessing.forkserver.ensure_running", lambda: time.sleep(next(delays))
    )
    starts = [threading.Thread(target=processes.start_fork_server, args=((),)) for _ in range(2)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert "PYTHONSAFEPATH" not in os.environ


@can_be_pinned
def test_child_and_all_its_threads_run_on_the_cpus_that_it_is_pinned_to(shadowed: Path) -> None:
    """Those too that a library starts while it is imported, as numpy's does."""
    mine = os.sched_getaffinity(0)
    cpu = max(mine)
    many = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    outcome = run_child("small_child", "{}", time_limit_s=60, environment=many, cpus=[cpu])
    threads = json.loads(outcome.reply or b"")["threads"]
    assert set(map(tuple, threads.values())) == {(cpu,)}
    assert os.sched_getaffinity(0) == mine


@can_be_pinned
def test_child_without_cpus_runs_where_this_process_may(shadowed: Path) -> None:
    outcome = run_child("small_child", "{}", time_limit_s=60)
    threads = json.loads(outcome.reply or b"")["threads"]
    assert set(map(tuple, threads.values())) == {tuple(sorted(os.sched_getaffinity(0)))}


@can_be_pinned
def test_cpus_that_the_system_refuses_start_no_child(shadowed: Path) -> None:
    mine = os.sched_getaffinity(0)
    with pytest.raises(DeployBenchError, match="no process can be pinned to CPUs 1000"):
        run_child("small_child", "{}", time_limit_s=60, cpus=[1000])
    assert os.sched_getaffinity(0) == mine
