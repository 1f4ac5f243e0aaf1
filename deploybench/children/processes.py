"""Child processes that work while the parent waits: a time limit, no survivors, and errors that say
what died.

A child reads one JSON document from standard input and writes one to the path that it is given.
The parent blocks on the child's exit, so it takes no CPU time from what is measured. Its temporary
files lie in a folder that goes with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import NoReturn

import psutil

from deploybench.children.deadlines import allowed_s, stopped_words
from deploybench.children.environment import (
    cleared_of,
    without_cleared,
    without_search_path,
    without_secrets,
)
from deploybench.children.family import (
    child_mark,
    family_mark,
    guardian_number,
    kill_strays,
    marked_server,
    scratch_folder,
    temporary_files_in,
    wear_mark,
)
from deploybench.children.inherited import interrupts_held, limit_files, pinned
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_tail

STDERR_TAIL_BYTES = 4000
QUIET_RUNTIMES = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONWARNINGS": "ignore",
}
UTF_8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:replace"}
"""Children read and write UTF-8 whatever the user's locale says; exporters print emojis."""
PARENT = "DEPLOYBENCH_PARENT"
"""The variable that tells a child which process started it."""
SAFE_PATH_SINCE = (3, 11)
"""Python's own way not to import from the current folder: ``-P`` and PYTHONSAFEPATH."""

_stopping = threading.Event()
_starting_server = threading.Lock()
"""Exports side by side start the fork server from several threads, and its start changes the
environment of this process for a moment: two starts at once would leave the change behind."""


@dataclass(frozen=True)
class Interpreter:
    """A Python to run modules with: its path, and its major and minor version."""

    path: str
    version: tuple[int, int]


HERE = Interpreter(sys.executable, sys.version_info[:2])


@dataclass(frozen=True)
class ChildOutcome:
    """How a child ended. ``reply`` is the document that it wrote, if it came that far."""

    reply: bytes | None
    error: str | None
    log: str


NOT_STARTED = ChildOutcome(None, "not started: the run was interrupted", "")


def run_child(
    module: str,
    request: str,
    *,
    time_limit_s: float,
    environment: Mapping[str, str] | None = None,
    cpus: Collection[int] = (),
    interpreter: Interpreter = HERE,
) -> ChildOutcome:
    """Run ``python -m module REPLY_PATH`` in a session of its own with ``request`` on standard
    input.

    The child does not import from the current folder. It is pinned to ``cpus``, if there are any
    (:func:`pinned`), and runs in ``interpreter``. Raises DeployBenchError where there is no folder
    for temporary files, and where it cannot be pinned.
    """
    if _stopping.is_set():
        return NOT_STARTED
    with scratch_folder() as folder:
        reply_path = folder / "reply.json"
        log_path = folder / "log.txt"
        variables = child_environment(folder, environment or {}, interpreter)
        with log_path.open("wb") as log_file:
            with pinned(cpus):
                child = subprocess.Popen(
                    [*python_module(module, interpreter), str(reply_path)],
                    stdin=subprocess.PIPE,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    env=variables,
                    start_new_session=True,
                )
            error = None
            try:
                child.communicate(request.encode(), timeout=allowed_s(time_limit_s))
            except subprocess.TimeoutExpired:
                error = stopped_words(time_limit_s)
            finally:
                kill_group(child)
                kill_strays(variables)
        return _outcome(reply_path, log_path, error, child.returncode)


def run_forked(
    module: str, request: str, *, preload: Sequence[str], time_limit_s: float
) -> ChildOutcome:
    """As :func:`run_child`, but forked from a server that has imported ``preload`` once for all
    children.

    For work that is not measured: a child then has torch and timm (5 s of imports) from the start.
    The server imports and forks, it never computes, so each child is as clean as a fresh process.
    It does not import from the current folder; a child has this process's own search path.
    """
    if sys.platform == "win32":
        return run_child(module, request, time_limit_s=time_limit_s)
    if _stopping.is_set():
        return NOT_STARTED
    start_fork_server(preload)
    context = multiprocessing.get_context("forkserver")
    with scratch_folder() as folder:
        reply_path = folder / "reply.json"
        log_path = folder / "log.txt"
        log_path.touch()
        variables = {**temporary_files_in(folder), **child_mark()}
        child = context.Process(
            target=_forked_main,
            args=(module, request, str(reply_path), str(log_path), variables),
        )
        child.start()
        if _stopping.is_set():  # the interrupt came while the server was still importing
            child.kill()
        error = None
        try:
            child.join(allowed_s(time_limit_s))
            if child.is_alive():
                error = stopped_words(time_limit_s)
        finally:
            _signal_group(child.pid)
            child.kill()
            child.join()
            kill_strays(variables)
        return _outcome(reply_path, log_path, error, child.exitcode or 0)


def start_fork_server(preload: Sequence[str]) -> None:
    """Start the server that :func:`run_forked` forks from, unless it runs.

    Ctrl-C is this process's to handle. Raises DeployBenchError where it cannot be started.
    """
    if sys.platform == "win32":
        return
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    # Children leave by os._exit, so multiprocessing's tracker would report the locks of their
    # progress bars.
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    try:
        with (
            _starting_server,
            scratch_folder() as empty,
            _surroundings_of_a_server(empty),
            marked_server(),
            interrupts_held(),
        ):
            forkserver.ensure_running()
    except OSError as error:
        raise DeployBenchError(
            f"the server of child processes cannot be started: {error.strerror or error}",
            expected="room for one more process, and a socket among the temporary files",
            action="set TMPDIR to a folder with a short name",
        ) from error


def python_module(module: str, interpreter: Interpreter = HERE) -> list[str]:
    """The command that runs a module as ``python -m`` does, but not from the current folder.

    There a ``statistics.py`` or ``numpy.py`` of the user's would take the place of the real one.
    """
    if interpreter.version >= SAFE_PATH_SINCE:
        return [interpreter.path, "-P", "-m", module]
    # Before -P: with -c the current folder is the first entry, as an empty string.
    program = (
        "import sys; del sys.path[0]; import runpy; "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    return [interpreter.path, "-c", program]


def interrupted() -> bool:
    """Whether :func:`stop_children` was called: what children report from then on means nothing."""
    return _stopping.is_set()


def allow_children() -> None:
    """Let children start again after :func:`stop_children`: another piece of work begins."""
    _stopping.clear()


def stop_children() -> None:
    """Kill every process below this one, compilers included, and let none start until
    :func:`allow_children`."""
    _stopping.set()
    for process in psutil.Process().children(recursive=True):
        if process.pid == guardian_number():
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies.

    The parent's guardian does so on every system (``family.py``); this is at once, and holds where
    the guardian itself was killed. A parent that died before it was asked is told by the change of
    parents. From here on the process also writes no core file, and none of terabytes.
    """
    limit_files()
    parent = os.environ.pop(PARENT, None)
    if not sys.platform.startswith("linux"):
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if parent is not None and int(parent) != os.getppid():
        os.kill(os.getpid(), signal.SIGKILL)


def finish(reply: str) -> NoReturn:
    """In a child: write the reply to the path in the first argument and leave at once.

    The interpreter's and the runtimes' own tear-down is skipped: it takes up to a second, and some
    runtimes crash in it after all the work is done.
    """
    path = Path(sys.argv[1])
    partial = path.with_suffix(".partial")
    partial.write_text(reply, "utf-8")
    partial.replace(path)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def child_environment(
    folder: Path, changes: Mapping[str, str], interpreter: Interpreter = HERE
) -> dict[str, str]:
    """This process's environment with what children need, whose temporary files lie in ``folder``.

    Without what would change their threads behind our back, and without secrets; for another
    interpreter also without the places of our modules.
    """
    environment = {
        **without_secrets(without_cleared(os.environ)),
        **QUIET_RUNTIMES,
        **UTF_8,
        **temporary_files_in(folder),
        **family_mark(),
        **child_mark(),
        PARENT: str(os.getpid()),
        **changes,
    }
    if interpreter != HERE:
        environment = without_search_path(environment)
    search_path = environment.get("PYTHONPATH")
    if search_path is not None:
        # An empty entry (as PYTHONPATH=$PYTHONPATH:/more leaves one) means the current folder.
        named = [entry for entry in search_path.split(os.pathsep) if entry]
        environment["PYTHONPATH"] = os.pathsep.join(named)
    return environment


@contextlib.contextmanager
def _surroundings_of_a_server(empty: Path) -> Iterator[None]:
    """What the fork server takes over from this process, whose command line is multiprocessing's
    own.

    UTF-8, no imports from the current folder, and none of the user's settings of threads, which an
    OpenMP reads when it is loaded.

    A Python without a safe path gets an ``empty`` folder to be started in; its children go back to
    where their requester was.
    """
    wanted = {**UTF_8}
    if sys.version_info >= SAFE_PATH_SINCE:
        wanted["PYTHONSAFEPATH"] = "1"
    cleared = cleared_of(os.environ)
    before = {name: os.environ.get(name) for name in (*wanted, *cleared)}
    for name in cleared:
        del os.environ[name]
    os.environ.update(wanted)
    try:
        if sys.version_info >= SAFE_PATH_SINCE:
            yield
            return
        here = Path.cwd()
        os.chdir(empty)
        try:
            yield
        finally:
            os.chdir(here)
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's process group (compilers that it started included) and reap
    it."""
    _signal_group(child.pid)
    child.wait()


def _signal_group(leader: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        if leader is not None:
            os.killpg(leader, signal.SIGKILL)


def _forked_main(
    module: str, request: str, reply_path: str, log_path: str, variables: Mapping[str, str]
) -> None:
    """In a forked child: look like ``python -m module REPLY_PATH`` with the request on standard
    input and the ``variables`` in the environment."""
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    wear_mark(variables)
    os.environ.update({**QUIET_RUNTIMES, **UTF_8, **variables})
    tempfile.tempdir = None  # the server may have looked for it before the variables were set
    threading.Thread(target=_die_with_requester, daemon=True).start()
    sys.argv = [module, reply_path]
    sys.stdin = io.StringIO(request)
    importlib.import_module(module).main()


def _die_with_requester() -> None:
    """Wait for the process that asked for this child, and die with it.

    The child's parent is the fork server, so its death tells nothing of the requester's.
    """
    requester = multiprocessing.parent_process()
    if requester is not None:
        requester.join()
        os.killpg(0, signal.SIGKILL)


def _outcome(reply_path: Path, log_path: Path, error: str | None, code: int) -> ChildOutcome:
    """What the child left behind; the cause of its death when it left nothing."""
    log = read_tail(log_path, STDERR_TAIL_BYTES)
    reply = None
    if error is None and reply_path.exists():
        reply = reply_path.read_bytes()
    if error is None and reply is None:
        error = cause_of_death(code, log)
    return ChildOutcome(reply, error, log)


def cause_of_death(code: int, log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    last_line = lines[-1] if lines else "no output"
    if code >= 0:
        return f"exit code {code}; last output: {last_line}"
    cause = signal.Signals(-code).name
    if cause == "SIGKILL":  # the kernel's own way to free memory
        cause += " (often: out of memory)"
    return f"killed by {cause}; last output: {last_line}"
