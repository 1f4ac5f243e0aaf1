"""Who measures on this machine keeps the others of the same user waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploybench.telemetry.alone import WaitingForOther, alone_on_this_machine

pytest.importorskip("fcntl", reason="there are no such locks on this system")

HOLDER = """
import sys, time
from deploybench.telemetry.alone import alone_on_this_machine
with alone_on_this_machine(lambda waiting: None):
    print("measuring", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def holder() -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "measuring\n"
    return process


def nobody(waiting: WaitingForOther) -> None:
    raise AssertionError(waiting.words)


def test_a_second_process_waits_until_the_first_has_measured_and_says_for_whom() -> None:
    first = holder()
    heard: list[WaitingForOther] = []

    def end_it(waiting: WaitingForOther) -> None:
        heard.append(waiting)
        assert first.poll() is None
        assert first.stdin is not None
        first.stdin.close()

    with alone_on_this_machine(end_it):
        assert first.wait(timeout=10) == 0

    (waiting,) = heard
    assert waiting.process == first.pid
    assert waiting.words.startswith(f"process {first.pid} measures on this machine since ")
    with alone_on_this_machine(nobody):
        pass


def test_a_process_that_is_killed_keeps_nobody_waiting() -> None:
    first = holder()
    first.send_signal(signal.SIGKILL)
    first.wait(timeout=10)
    with alone_on_this_machine(nobody):
        pass


def test_a_measurement_within_a_measurement_is_not_waited_for() -> None:
    with alone_on_this_machine(nobody):
        with alone_on_this_machine(nobody):
            pass
        # The inner one ended, and the outer one still holds it.
        other = subprocess.run(
            [sys.executable, "-c", HOLDER.replace("lambda waiting: None", "sys.exit")],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert other.returncode == 1
    assert f"process={os.getpid()}" in other.stderr


def test_threads_of_one_process_measure_one_after_the_other() -> None:
    inside: list[str] = []

    def measure(name: str) -> None:
        with alone_on_this_machine(nobody):
            inside.append(f"{name} begins")
            time.sleep(0.05)
            inside.append(f"{name} ends")

    threads = [threading.Thread(target=measure, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside in (
        ["a begins", "a ends", "b begins", "b ends"],
        ["b begins", "b ends", "a begins", "a ends"],
    )


def test_what_another_program_left_in_the_file_is_no_name(tmp_path: Path) -> None:
    with alone_on_this_machine(nobody):
        (path,) = (tmp_path / "deploybench").glob("measuring-*.lock")
    path.write_bytes(b"\x1b[31m hello \xff")
    with alone_on_this_machine(nobody):
        pass
    assert path.read_text().startswith(f"{os.getpid()} ")


def test_without_a_cache_that_can_be_written_nobody_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    with alone_on_this_machine(nobody):
        pass
