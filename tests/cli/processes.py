"""The command line as a process that a test interrupts, and the processes below it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psutil

Found = TypeVar("Found")


@contextmanager
def started_cli(
    *arguments: str, stderr: int = subprocess.DEVNULL, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The command line as a terminal starts it: a shell's background job would have SIGINT
    ignored.

    It ends with the block. What a failed test leaves measuring would keep all later ones waiting.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "deploybench", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env={**os.environ, **(environment or {})},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_for(look: Callable[[], Found], limit_s: float = 120) -> Found:
    """What ``look`` finds, once it is something."""
    end = time.monotonic() + limit_s
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"it did not come to that in {limit_s:g} s")
        time.sleep(0.05)
    return found


def children_of(parent: int, word: str = "") -> list[psutil.Process]:
    """The processes below ``parent`` whose command line has that word; none once it has ended."""
    try:
        children = psutil.Process(parent).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if word in command_of(child)]


def command_of(process: psutil.Process) -> str:
    """Its command line; "" for a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
