"""Child processes that work while the parent waits: a time limit, no survivors, and errors that say what died.

A child reads one JSON document from standard input and writes one to the path that it is given.
The parent blocks on the child's exit, so it takes no CPU time from what is measured.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

STDERR_TAIL_CHARS = 4000
QUIET_RUNTIMES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
}


_children: set[subprocess.Popen[bytes]] = set()
_stopping = threading.Event()


@dataclass(frozen=True)
class ChildOutcome:
    """How a child ended. ``reply`` is the document that it wrote, if it came that far."""

    reply: bytes | None
    error: str | None
    log: str


def run_child(
    module: str, request: str, *, time_limit_s: float, environment: Mapping[str, str] | None = None
) -> ChildOutcome:
    """Run ``python -m module REPLY_PATH`` in a session of its own with ``request`` on standard input."""
    if _stopping.is_set():
        return ChildOutcome(None, "not started: the run was interrupted", "")
    with tempfile.TemporaryDirectory(prefix="deploybench-") as folder:
        reply_path = Path(folder) / "reply.json"
        log_path = Path(folder) / "log.txt"
        with log_path.open("wb") as log_file:
            child = subprocess.Popen(
                [sys.executable, "-m", module, str(reply_path)],
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **QUIET_RUNTIMES, **(environment or {})},
                start_new_session=True,
            )
            _children.add(child)
            error = None
            try:
                child.communicate(request.encode(), timeout=time_limit_s)
            except subprocess.TimeoutExpired:
                error = f"stopped after the time limit of {time_limit_s:g} s"
            finally:
                _kill_group(child)
                _children.discard(child)
        log = log_path.read_text(errors="replace")[-STDERR_TAIL_CHARS:]
        reply = reply_path.read_bytes() if reply_path.exists() else None
    if error is None and reply is None:
        error = _cause_of_death(child.returncode, log)
    return ChildOutcome(reply, error, log)


def stop_children() -> None:
    """Kill every child that other threads of this process wait for, and let none start any more."""
    _stopping.set()
    for child in list(_children):
        _signal_group(child)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that a killed parent leaves nobody behind."""
    if not sys.platform.startswith("linux"):
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)


def finish(reply: str) -> NoReturn:
    """In a child: write the reply to the path in the first argument and leave at once.

    The interpreter's and the runtimes' own tear-down is skipped: it takes up to a second, and some
    runtimes crash in it after all the work is done.
    """
    Path(sys.argv[1]).write_text(reply)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's process group (compilers that it started included) and reap it."""
    _signal_group(child)
    child.wait()


def _signal_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _cause_of_death(code: int, log: str) -> str:
    last_line = next((line for line in reversed(log.splitlines()) if line.strip()), "no output")
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}; last output: {last_line}"
    return f"exit code {code}; last output: {last_line}"
