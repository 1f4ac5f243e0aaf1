"""Threads count by the CPU time that they took."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from deploybench.hardware.places import cpus_of_list
from deploybench.telemetry.threads import read_threads, threads_between

MS = 1_000_000


def task(folder: Path, number: int, *, schedstat: str = "", stat: str = "", cpus: str) -> None:
    place = folder / str(number)
    place.mkdir()
    if schedstat:
        (place / "schedstat").write_text(schedstat)
    (place / "stat").write_text(stat)
    (place / "status").write_text(f"Name:\tx\nCpus_allowed_list:\t{cpus}\n")


def test_threads_that_took_a_tenth_of_the_busiest_count(tmp_path: Path) -> None:
    for number in range(1, 5):
        task(tmp_path, number, schedstat=f"{number} 0 0\n", cpus=f"{number}-{number + 1}")
    before = {"1": 10 * MS, "2": 10 * MS, "3": 10 * MS}
    after = {"1": 510 * MS, "2": 70 * MS, "3": 11 * MS, "4": 400 * MS}
    ran = threads_between(before, after, tmp_path)
    assert ran is not None
    assert ran.count == 3
    assert ran.cpus == {1, 2, 3, 4, 5}
    assert read_threads(tmp_path) == {"1": 1, "2": 2, "3": 3, "4": 4}


def test_ticks_do_where_nanoseconds_are_not_told(tmp_path: Path) -> None:
    task(tmp_path, 7, stat=f"7 (a (b) c) S {' '.join('0' * 10)} 5 3 0 0\n", cpus="0")
    assert read_threads(tmp_path) == {"7": 80 * MS}


def test_nothing_is_told_where_nothing_worked_or_there_is_no_proc(tmp_path: Path) -> None:
    assert read_threads(tmp_path) == {}
    assert threads_between({}, {}, tmp_path) is None
    assert threads_between({"1": 5}, {"1": 6}, tmp_path) is None


def test_list_of_the_kernel_is_read() -> None:
    assert cpus_of_list(" 0-2,8,\n") == {0, 1, 2, 8}


@pytest.mark.measures
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are told by /proc")
def test_one_thread_works_while_another_sleeps() -> None:
    asleep = threading.Event()
    sleeper = threading.Thread(target=asleep.wait)
    sleeper.start()
    before = read_threads()
    end = time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
    ran = threads_between(before, read_threads())
    asleep.set()
    sleeper.join()
    assert ran is not None
    assert ran.count == 1
    assert ran.cpus
