"""What ``--pin`` comes to, and what cannot be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.children.inherited import can_pin, pinned
from deploybench.errors import DeployBenchError
from deploybench.hardware import pinning
from deploybench.hardware.pinning import (
    AUTO,
    NONE,
    Pin,
    Pinning,
    check_pin,
    cpus_of_others,
    pinning_of,
    read_pin,
    thread_budget,
)
from tests.hardware.test_places import HYPER_THREADS, machine

ALL = frozenset(range(16))
can_be_pinned = pytest.mark.skipif(not can_pin(), reason="this system pins no processes")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight cores with two hardware threads each, on a system that can pin."""
    monkeypatch.setattr(pinning, "can_pin", lambda: True)
    return machine(tmp_path, *HYPER_THREADS)


def test_auto_keeps_threads_on_cores_of_their_own(root: Path) -> None:
    found = pinning_of(AUTO, 4, ALL, (), root)
    assert found.cpus == (0, 1, 2, 3)
    assert found.words == "pinned to CPUs 0-3: one hardware thread of each of 4 cores"
    assert found.tells
    assert found.arguments == []


@pytest.mark.parametrize(("threads", "usable"), [(16, ALL), (20, ALL), (2, {3, 5})])
def test_auto_leaves_a_budget_alone_that_takes_every_usable_cpu(
    root: Path, threads: int, usable: frozenset[int]
) -> None:
    found = pinning_of(AUTO, threads, usable, (), root)
    assert found.words == "not pinned: the budget takes every usable CPU"
    assert (found.cpus, found.tells) == ((), False)


def test_auto_says_where_the_cores_are_not_told(root: Path, tmp_path: Path) -> None:
    found = pinning_of(AUTO, 2, ALL, (), tmp_path / "nothing")
    assert found.cpus == ()
    assert found.words.endswith("the system does not tell which CPUs are cores of their own")
    assert found.tells


def test_none_leaves_the_cpus_to_the_system_and_is_repeated(root: Path) -> None:
    found = pinning_of(NONE, 4, ALL, (), root)
    assert (found.cpus, found.tells, found.arguments) == ((), False, ["--pin", "none"])


def test_cpus_are_taken_as_they_are_and_repeated(root: Path) -> None:
    found = pinning_of([9, 1, 2, 3], 2, ALL, (), root)
    assert found.cpus == (1, 2, 3, 9)
    assert found.chosen
    assert found.arguments == ["--pin", "1-3,9"]


def test_what_feeds_a_gpu_is_pinned_only_where_the_user_says_where(root: Path) -> None:
    found = pinning_of(AUTO, 4, ALL, (), root)
    assert (found.cpus_for("cuda"), found.cpus_for("cpu")) == ((), found.cpus)
    assert pinning_of([1, 2], 2, ALL, (), root).cpus_for("cuda:1") == (1, 2)


@pytest.mark.parametrize(
    ("pin", "threads", "usable", "words"),
    [
        ([0, 16], 2, ALL, "--pin 0,16: CPU 16 is not usable by this process"),
        (
            [4, 5, 6],
            2,
            {0, 4},
            "CPUs 5-6 are not usable by this process",
        ),
        ([0, 1], 4, ALL, "--pin 0-1 for 4 threads: 2 CPUs"),
        ([3], 2, ALL, "--pin 3 for 2 threads: 1 CPU"),
        ([0, 1, 1], 2, ALL, "--pin 0-1 names CPU 1 more than once"),
        ([], 1, ALL, "--pin without any CPU"),
    ],
)
def test_cpus_that_cannot_be_had_are_refused_in_words(
    root: Path, pin: Pin, threads: int, usable: frozenset[int], words: str
) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        pinning_of(pin, threads, usable, (), root)
    assert words in str(refusal.value).replace("\n", " ")


def test_system_that_cannot_pin_refuses_cpus_and_measures_without(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Windows and macOS."""
    monkeypatch.setattr(pinning, "can_pin", lambda: False)
    found = pinning_of(AUTO, 4, ALL, (), root)
    assert found.words == "not pinned: this system keeps no process on certain CPUs"
    assert found.tells
    with pytest.raises(DeployBenchError, match="on a system that keeps no process on certain CPUs"):
        pinning_of([0, 1], 2, ALL, (), root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("auto", AUTO),
        ("none", NONE),
        ("0-3,8", [0, 1, 2, 3, 8]),
        ("5", [5]),
        ("0-1, 1", [0, 1, 1]),
    ],
)
def test_pin_is_read_as_the_kernel_writes_it(text: str, expected: Pin) -> None:
    assert read_pin(text) == expected


@pytest.mark.parametrize("text", ["", "some", "0-", "3-1", "-1", "0;1", "0-9999999999", "1.5"])
def test_pin_of_another_form_is_refused_with_the_form_that_was_expected(text: str) -> None:
    with pytest.raises(DeployBenchError, match=r"0-3,8"):
        read_pin(text)


def test_word_that_stands_for_nothing_is_refused() -> None:
    check_pin(AUTO)
    check_pin([1, 2])
    with pytest.raises(DeployBenchError, match="--pin some"):
        check_pin("some")  # type: ignore[arg-type]


def test_budget_is_the_cores_of_the_pinned_cpus_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pinning, "usable_cores", lambda cpus=frozenset({0, 1, 2}): len(cpus))
    assert thread_budget(None, AUTO) == 3
    assert thread_budget(None, [4, 5]) == 2
    assert thread_budget(7, [4, 5]) == 7


def test_nothing_is_pinned_unless_somebody_asks() -> None:
    assert Pinning().cpus_for("cpu") == ()
    assert not Pinning().tells


@can_be_pinned
def test_usable_cpus_are_those_of_this_process() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert pinning_of(mine, 1).cpus == tuple(mine)


@pytest.mark.parametrize(
    ("threads", "taken", "cpus"),
    [
        (4, {0, 1, 2, 3}, (4, 5, 6, 7)),
        (4, {8}, (1, 2, 3, 4)),  # the second hardware thread of core 0
        (4, {0, 1, 2, 3, 4}, (0, 1, 2, 3)),  # three cores are left
        (4, {7}, (0, 1, 2, 3)),
        (8, {0}, (0, 1, 2, 3, 4, 5, 6, 7)),
    ],
)
def test_auto_leaves_others_the_cores_on_which_they_keep_processes(
    root: Path, threads: int, taken: set[int], cpus: tuple[int, ...]
) -> None:
    found = pinning_of(AUTO, threads, ALL, taken, root)
    assert found.cpus == cpus
    assert ("others keep processes" in found.why) == (cpus[0] in (1, 4))


@can_be_pinned
def test_cpus_of_others_are_those_of_processes_that_are_kept_on_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = frozenset(os.sched_getaffinity(0))
    cpu = max(mine)
    children = []
    try:
        for cpus in ((), (cpu,)):
            with pinned(cpus):
                child = subprocess.Popen(
                    [sys.executable, "-c", "print(flush=True); input()"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            children.append(child)
            # Until then it may still be on its way to its program, without a command line.
            assert child.stdout is not None
            child.stdout.readline()
        # Other processes of this machine come and go meanwhile.
        for number, found in ((0, set()), (1, {cpu} if len(mine) > 1 else set())):
            monkeypatch.setattr("psutil.pids", lambda number=number: [children[number].pid])
            assert cpus_of_others(mine) == found
    finally:
        for child in children:
            child.kill()
            child.communicate()
