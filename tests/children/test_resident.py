"""Residents: they answer, rest without CPU time, and are gone when their parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from deploybench.children.inherited import can_pin
from deploybench.children.resident import CAN_REST, Resident, ResidentLostError
from deploybench.errors import DeployBenchError
from tests.cli.processes import wait_for

pytestmark = pytest.mark.skipif(not CAN_REST, reason="this system stops no processes")

CHILD = """
import os, sys, threading, time
from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier

def spin():
    while True:
        pass

die_with_parent()
reply = replier()
print("a runtime prints what it likes")
for question in questions():
    if question == "spin":
        threading.Thread(target=spin, daemon=True).start()
    if question == "die":
        print("no more memory", flush=True)
        os.abort()
    if question == "hang":
        time.sleep(600)
    if question == "where":
        reply(str(sorted(os.sched_getaffinity(0))))
        continue
    reply(f"{question} {os.getpid()}")
"""
PARENT = """
import sys, time
from deploybench.children.resident import Resident

child = Resident("answering")
print(child.ask("spin", 60).split()[1], flush=True)
time.sleep(600)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that answers each question with itself and its process number."""
    (tmp_path / "answering.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "answering"


def test_resident_answers_with_what_it_replied_and_nothing_that_was_printed(module: str) -> None:
    with Resident(module) as child:
        assert child.ask("one", 60) == f"one {child.number}"
        assert child.ask("two", 60) == f"two {child.number}"


def test_threads_that_spin_take_no_cpu_time_while_their_process_rests(module: str) -> None:
    with Resident(module) as child:
        child.ask("spin", 60)
        wait_for(lambda: psutil.Process(child.number).status() == psutil.STATUS_STOPPED, limit_s=30)
        before = psutil.Process(child.number).cpu_times()
        time.sleep(0.3)
        after = psutil.Process(child.number).cpu_times()
        assert after.user - before.user <= 0.01
        child.ask("again", 60)
        assert not child.restless


def test_process_that_is_not_stopped_is_seen_to_work_while_it_should_rest(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Resident(module) as child:
        child.ask("spin", 60)
        worker = psutil.Process(child.number)
        before_s = worker.cpu_times().user
        os.killpg(child.number, signal.SIGCONT)
        # On a busy machine it gets its turn late.
        while worker.cpu_times().user < before_s + 0.3:
            time.sleep(0.05)
        child.ask("again", 60)
        assert child.restless


def test_death_is_told_with_what_the_process_said_last(module: str) -> None:
    with Resident(module) as child, pytest.raises(ResidentLostError, match="SIGABRT") as lost:
        child.ask("die", 60)
    assert "no more memory" in str(lost.value)


def test_process_that_was_killed_while_it_rested_is_lost_at_the_next_question(module: str) -> None:
    with Resident(module) as child:
        child.ask("one", 60)
        os.kill(child.number, signal.SIGKILL)
        with pytest.raises(ResidentLostError, match="SIGKILL"):
            child.ask("two", 60)


def test_answer_that_does_not_come_in_time_ends_the_process(module: str) -> None:
    with Resident(module) as child:
        child.ask("one", 60)
        with pytest.raises(ResidentLostError, match=r"time limit of 0\.2 s"):
            child.ask("hang", 0.2)
        assert not psutil.pid_exists(child.number)


def test_closing_leaves_no_stopped_process(module: str) -> None:
    with Resident(module) as child:
        child.ask("one", 60)
    wait_for(lambda: not psutil.pid_exists(child.number), limit_s=30)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_process_dies_with_its_parent(
    module: str, tmp_path: Path, number: signal.Signals
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    wait_for(lambda: psutil.Process(child).status() == psutil.STATUS_STOPPED, limit_s=30)
    parent.send_signal(number)
    parent.wait()
    wait_for(
        lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie",
        limit_s=30,
    )


def test_resident_outlives_the_thread_that_asked_for_it(module: str) -> None:
    """On Linux what dies with its parent dies with the thread of the parent that started it."""
    started: list[Resident] = []

    def work() -> None:
        started.append(Resident(module))
        started[0].ask("one", 60)

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    with started[0] as child:
        # The signal of a thread's end comes at once; a child that is stopped dies of it, too.
        with pytest.raises(psutil.TimeoutExpired):
            psutil.Process(child.number).wait(timeout=0.5)
        assert child.ask("two", 60) == f"two {child.number}"


@pytest.mark.skipif(not can_pin(), reason="this system pins no processes")
def test_resident_stays_on_the_cpus_that_it_is_pinned_to(module: str) -> None:
    mine = os.sched_getaffinity(0)
    cpu = max(mine)
    with Resident(module, cpus=[cpu]) as child:
        assert child.ask("where", 60) == child.ask("where", 60) == str([cpu])
    assert os.sched_getaffinity(0) == mine
    with pytest.raises(DeployBenchError, match="pinned to CPUs 1000"):
        Resident(module, cpus=[1000])
