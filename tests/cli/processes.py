"""The command line as a process that a test interrupts, and the processes below it."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil


def start_cli(arguments: list[str]) -> subprocess.Popen[str]:
    """The command line as a terminal starts it: a shell's background job would have SIGINT
    ignored."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploybench", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def command_of(process: psutil.Process) -> str:
    """Its command line; "" for a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
