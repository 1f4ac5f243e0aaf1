"""No process and no temporary folder outlives its parent, at whatever moment that is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.children import family, guardian
from deploybench.children.processes import run_child

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="kill -9 is POSIX's")

PATIENCE_S = 3.0
"""What a survivor gets to be gone; the machine may be busy with other tests."""
VARIABLE = "DEPLOYBENCH_TEST_KILL"

# Its import never ends; a process in a session of its own is started by it, as compilers may be.
STUCK = """
import subprocess, sys, time
from pathlib import Path
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
Path("importing").touch()
time.sleep(60)
"""
PARENTS = {
    "worker": "processes.run_child('stuck', '{}', time_limit_s=60)",
    "server": "processes.run_forked('json', '{}', preload=('stuck',), time_limit_s=60)",
    "forked": "processes.run_forked('stuck', '{}', preload=(), time_limit_s=60)",
    # killed while it is a thread's turn, and the thread that started the child has ended
    "thread": "t = threading.Thread(target=processes.run_child, args=('stuck', '{}'),"
    " kwargs={'time_limit_s': 60}); t.start(); t.join()",
}


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment by which whatever is started in it is found, with its own temporary files."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    environment = {**os.environ, VARIABLE: str(tmp_path), "TMPDIR": str(temporary)}
    yield environment
    for process in survivors(environment):
        process.kill()


def survivors(environment: dict[str, str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(VARIABLE) == environment[VARIABLE]:
                found.append(process)
        except psutil.Error:
            continue
    return found


def left(environment: dict[str, str]) -> list[str]:
    """What is still there once there was time for it to go: processes and temporary folders."""
    end = time.monotonic() + PATIENCE_S
    while True:
        remains = []
        for process in survivors(environment):
            with contextlib.suppress(psutil.NoSuchProcess):  # it went while we looked
                remains.append(" ".join(process.cmdline()))
        remains += [str(path) for path in Path(environment["TMPDIR"]).glob("deploybench-*")]
        if not remains or time.monotonic() > end:
            return remains
        time.sleep(0.1)


def started(
    arguments: list[str], environment: dict[str, str], here: Path
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def trust(case: str, before: str, now: str = "nothing is left") -> pytest.MarkDecorator:
    return pytest.mark.trust(item=24, case=case, before=before, now=now)


@pytest.mark.measures
@pytest.mark.parametrize(
    "how",
    [
        pytest.param(
            "worker",
            marks=trust(
                "kill -9 while a worker imports, with a process that it started",
                "both went on, and the worker's temporary folder stayed",
            ),
        ),
        pytest.param(
            "server",
            marks=trust(
                "kill -9 while the server of exports imports",
                "the server went on importing; what it had started stayed, and a temporary folder",
            ),
        ),
        pytest.param(
            "forked",
            marks=trust(
                "kill -9 while an export imports its module",
                "the export went; what it had started stayed, and a temporary folder",
            ),
        ),
        "thread",
    ],
)
def test_kill_during_an_import_leaves_nothing(
    how: str, sealed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "stuck.py").write_text(STUCK)
    environment = {**sealed, "PYTHONPATH": str(tmp_path)}
    program = (
        "import threading\nfrom deploybench.children import processes\n"
        f"if __name__ == '__main__':\n    {PARENTS[how]}\n"
    )
    parent = started(["-c", program], environment, tmp_path)
    end = time.monotonic() + 60
    while not (tmp_path / "importing").exists():
        assert time.monotonic() < end, "the child never came to its import"
        assert parent.poll() is None
        time.sleep(0.02)
    assert len(survivors(environment)) >= 3
    parent.kill()
    parent.wait()
    assert left(environment) == []


@pytest.mark.measures
@pytest.mark.parametrize("after_s", [0.1, 0.3, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("command", ["export", "run"])
def test_kill_of_a_command_at_any_moment_leaves_nothing(
    command: str,
    after_s: float,
    sealed: dict[str, str],
    tmp_path: Path,
    tiny_artifact: Callable[[str], Artifact],
) -> None:
    """``export`` starts a server and forks from it; ``run`` measures the peaks and the cell."""
    if command == "export":
        asked = ["export", "--model", "timm:test_vit", "-b", "onnx"]
    else:
        asked = ["run", "--artifact", str(tiny_artifact("onnx").path), "--rounds", "1"]
        asked += ["--duration", "20s"]
    arguments = ["-m", "deploybench", *asked, "-w", str(tmp_path / "workspace")]
    parent = started(arguments, sealed, tmp_path)
    time.sleep(after_s)
    parent.kill()
    parent.wait()
    assert left(sealed) == []


LEAVING = """
import os, subprocess, sys, time
from pathlib import Path

def main():
    program = "import time; time.sleep(60)"
    subprocess.Popen([sys.executable, "-S", "-c", program], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    Path("left").touch()
    os._exit(0)

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("kind", ["worker", "forked"])
def test_what_a_child_leaves_running_is_gone_before_the_next_one(
    kind: str, sealed: dict[str, str], tmp_path: Path
) -> None:
    """A runtime that starts a daemon would disturb whatever is measured after it."""
    (tmp_path / "leaving.py").write_text(LEAVING)
    environment = {**sealed, "PYTHONPATH": str(tmp_path)}
    call = PARENTS[kind].replace("stuck", "leaving")
    program = (
        "from deploybench.children import processes\n"
        f"if __name__ == '__main__':\n    {call}\n    print('done', flush=True)\n    input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "done\n"
    assert (tmp_path / "left").exists()
    lines = [" ".join(process.cmdline()) for process in survivors(environment)]
    assert not [line for line in lines if "time.sleep(60)" in line], "a program that it started"
    if kind == "worker":
        assert not [line for line in lines if "leaving" in line and "processes" not in line]
    elif sys.platform.startswith("linux"):
        servers = [line for line in lines if "multiprocessing.forkserver" in line]
        assert len(servers) == 1, "what only forked itself has its server's command line"
    parent.communicate("\n")
    assert left(sealed) == [], "the server goes with the command"


def test_folder_that_a_killed_process_worked_in_is_removed_and_what_it_published_stays(
    sealed: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "import os, signal\nfrom pathlib import Path\n"
        "from deploybench.artifacts.workspace import Workspace\n"
        "workspace = Workspace(Path('w'))\nworkspace.prepare()\n"
        "with workspace.staging() as made, workspace.staging() as unfinished:\n"
        "    (unfinished / 'model.onnx').touch()\n"
        "    made.rename('published')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    parent = started(["-c", program], sealed, tmp_path)
    assert parent.wait(60) == -signal.SIGKILL
    end = time.monotonic() + PATIENCE_S
    while list(tmp_path.glob("w/artifacts/.partial-*")) and time.monotonic() < end:
        time.sleep(0.05)
    assert list(tmp_path.glob("w/artifacts/.partial-*")) == []
    assert (tmp_path / "published").is_dir()
    assert left(sealed) == []


def test_guardian_leaves_with_a_parent_that_ends_as_it_should(
    sealed: dict[str, str], tmp_path: Path
) -> None:
    program = (
        "from deploybench.children import family\n"
        "with family.scratch_folder() as folder:\n    print(folder, family.family_mark())\n"
    )
    parent = started(["-c", program], sealed, tmp_path)
    assert parent.wait(60) == 0
    assert left(sealed) == []


HOST_PROGRAM = """
import multiprocessing, time
from pathlib import Path
from multiprocessing import resource_tracker
from deploybench.children import guardian, processes

def save():
    time.sleep(1)
    Path("saved").touch()

if __name__ == "__main__":
    processes.run_forked("json", "{}", preload=(), time_limit_s=60)
    tracker = Path(f"/proc/{resource_tracker._resource_tracker._pid}/environ")
    if tracker.exists():
        Path("tracker").write_bytes(tracker.read_bytes())
    multiprocessing.get_context("forkserver").Process(target=save).start()
"""


def test_farewell_leaves_the_other_processes_of_the_program_alone(
    sealed: dict[str, str], tmp_path: Path
) -> None:
    """The server that forks our children, and the tracker of resources, are multiprocessing's, one
    of each for a whole program, which may use them, too."""
    (tmp_path / "host_program.py").write_text(HOST_PROGRAM)
    parent = started(["host_program.py"], sealed, tmp_path)
    assert parent.wait(60) == 0
    assert (tmp_path / "saved").exists(), "the program's own process was killed"
    if (tmp_path / "tracker").exists():
        assert guardian.MARK.encode() not in (tmp_path / "tracker").read_bytes()
    assert left(sealed) == []


def test_folders_of_dead_processes_are_swept_and_no_others(tmp_path: Path) -> None:
    """Killed together with its guardian, a process leaves its folder: the next one removes it."""
    program = (
        "import os, signal, time\nfrom deploybench.children import family\n"
        "with family.scratch_folder() as folder:\n"
        "    family.family_mark()\n"
        "    os.kill(family.guardian_number(), signal.SIGKILL)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    killed = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = tmp_path.glob("deploybench-*")
    (tmp_path / "deploybench-cache-1000").mkdir()
    (tmp_path / "deploybench-7-being-made").mkdir()
    (tmp_path / "another").mkdir()
    (tmp_path / "deploybench-7-link").symlink_to(leftover)
    alive = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from deploybench.children import family\n"
            "with family.scratch_folder() as folder:\n    print(folder, flush=True)\n    input()\n",
        ],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert alive.stdout is not None
    owned = Path(alive.stdout.readline().strip())
    assert not leftover.exists(), "the next process sweeps before it adds a folder"
    assert family.sweep(tmp_path) == []
    assert owned.is_dir()
    alive.communicate("\n")
    assert {path.name for path in tmp_path.iterdir()} == {
        "deploybench-cache-1000",
        "deploybench-7-being-made",
        "another",
        "deploybench-7-link",
    }


def test_temporary_files_of_a_child_lie_in_the_folder_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tells_folder.py").write_text(
        "import json, os, tempfile\nfrom deploybench.children.processes import finish\n"
        "finish(json.dumps([tempfile.mkdtemp(), os.environ['TORCHINDUCTOR_CACHE_DIR']]))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    outcome = run_child("tells_folder", "", time_limit_s=60)
    assert outcome.reply is not None, outcome.log
    folder, cache = eval(outcome.reply.decode())
    assert f"deploybench-{os.getpid()}-" in folder
    assert not Path(folder).exists()
    assert cache.startswith(str(tmp_path / "torchinductor_")), "compiled code is kept"
