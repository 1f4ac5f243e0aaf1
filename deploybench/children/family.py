"""What belongs to this process and must not outlive it: its children and its temporary folders.

All children carry one mark in their environment, and each has another of its own. A guardian
(``guardian.py``) is started beside the first of them: when this process ends without a farewell, by
``kill -9`` say, it kills whoever carries the family's mark and removes the folders. After a
farewell it kills only what carries the mark of a child: the server that children are forked from
belongs to the whole program, which may have forked others from it, and they inherit the family's
mark. A machine that lost its power, or a guardian that was
killed too, leaves folders; the next process of this user that makes one sweeps them away. Whether
a folder still has its owner is told by a lock that the system frees with the owner, not by a
number: two containers that share a folder for temporary files share no numbers of processes.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import getpass
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

import psutil

from deploybench.children import guardian
from deploybench.errors import DeployBenchError

OWNER_FILE = ".owner"
NO_CHILD = "0" * 16
"""In the environment of the server of children: the place where each child writes its mark."""
FOLDER_NAME = re.compile(re.escape(guardian.FOLDER_PREFIX) + r"\d+-.+")
UNOWNED_FOR_S = 24 * 3600.0
"""A folder without its lock is one that was being made: after a day nobody is making it."""

try:
    import fcntl
except ImportError:  # Windows: the guardian alone removes folders there
    fcntl = None  # type: ignore[assignment]


@dataclass(frozen=True)
class _Guardian:
    """The running guardian, and the process that it guards."""

    process: subprocess.Popen[bytes]
    of: int
    mark: str


_guardian: _Guardian | None = None
_starting = threading.Lock()
_swept: set[str] = set()


def family_mark() -> dict[str, str]:
    """What makes a process one of this family: variables for its environment.

    The first call starts the guardian. Raises DeployBenchError where it cannot be started.
    """
    global _guardian
    with _starting:
        running = _guardian
        if running is None or running.of != os.getpid() or running.process.poll() is not None:
            running = _start_guardian()
            _guardian = running
    return {guardian.MARK: running.mark}


def child_mark() -> dict[str, str]:
    """What makes a process one of a single child's: a variable for the child's environment.

    Raises DeployBenchError where the guardian, which is told of it, cannot be started.
    """
    mark = secrets.token_hex(len(NO_CHILD) // 2)
    _tell(f"{guardian.CHILD}={mark}".encode())
    return {guardian.CHILD: mark}


def is_of_this_family(number: int) -> bool:
    """Whether the process with that number was started by whoever started this one.

    Of a process of another user, which does not tell, the answer is no.
    """
    mark = os.environ.get(guardian.MARK)
    if mark is None:
        return False
    try:
        return bool(psutil.Process(number).environ().get(guardian.MARK) == mark)
    except (psutil.Error, OSError):
        return False


@contextlib.contextmanager
def marked_server() -> Iterator[None]:
    """The body starts the server of children, which carries the family's mark, and room for that of
    a child.

    multiprocessing's tracker of resources is started before and carries neither: it tidies up after
    the whole program, and has the most to do when that is killed. Raises DeployBenchError where the
    guardian cannot be started, OSError where the tracker cannot.
    """
    marks = {**family_mark(), guardian.CHILD: NO_CHILD}
    resource_tracker.ensure_running()
    before = {name: os.environ.get(name) for name in marks}
    os.environ.update(marks)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def wear_mark(variables: Mapping[str, str]) -> None:
    """In a forked child: let the system show the child's own mark, also for what it forks.

    What others see of a process's environment is the memory that its program was started with:
    a change of ``os.environ`` does not reach it, so the mark is written over the one that is there.
    A server that another part of the program started has no room for it; then only the programs
    that the child starts are known by the mark.
    """
    if sys.platform == "win32":
        return
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    place = getenv(guardian.CHILD.encode())
    if place is not None and ctypes.string_at(place) == NO_CHILD.encode():
        ctypes.memmove(place, variables[guardian.CHILD].encode(), len(NO_CHILD))


def kill_strays(variables: Mapping[str, str]) -> None:
    """Kill what a child with these variables left running when it ended, a daemon say: what made a
    session of its own is not in the child's group, and would disturb what is measured next."""
    guardian.kill_all_marked(guardian.CHILD, [variables[guardian.CHILD]])


def goes_with_us(folder: Path) -> None:
    """Have a folder that is not among the temporary ones removed, should this process be killed.

    Once the folder has another name, or is gone, that means nothing any more. Raises
    DeployBenchError where the guardian cannot be started.
    """
    _tell(os.fsencode(folder.absolute()))


def _tell(entry: bytes) -> None:
    family_mark()
    running = _guardian
    if running is None or running.process.stdin is None:
        return
    with contextlib.suppress(OSError):  # a guardian that was killed: the next sweep has to do
        running.process.stdin.write(entry + guardian.END_OF_ENTRY)
        running.process.stdin.flush()


def guardian_number() -> int | None:
    """The process number of this process's guardian, if it has one."""
    if _guardian is None or _guardian.of != os.getpid():
        return None
    return _guardian.process.pid


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that goes with the body, or with this process.

    Raises DeployBenchError where none can be made.
    """
    try:
        temporary = Path(tempfile.gettempdir())
        _sweep_once(temporary)
        prefix = f"{guardian.FOLDER_PREFIX}{os.getpid()}-"
        folder = tempfile.TemporaryDirectory(
            prefix=prefix, dir=temporary, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise DeployBenchError(
            f"no temporary folder can be made: {error.strerror or error}",
            expected="a folder that this user may write to, with some space left",
            action="set TMPDIR to one",
        ) from error
    with folder as path, _owned(Path(path)):
        yield Path(path)


def temporary_files_in(folder: Path) -> dict[str, str]:
    """Variables that make a child's temporary files, and its compilers', go with ``folder``.

    TorchInductor's cache, which would lie among them, stays where it is: it is worth keeping.
    """
    variables = {"TMPDIR": str(folder)}
    if "TORCHINDUCTOR_CACHE_DIR" not in os.environ:
        cache = Path(tempfile.gettempdir()) / f"torchinductor_{_user_name()}"
        variables["TORCHINDUCTOR_CACHE_DIR"] = str(cache)
    return variables


def sweep(temporary: Path) -> list[Path]:
    """Remove the folders of this user's processes that are no more; those that were removed."""
    removed = []
    for folder in temporary.glob(f"{guardian.FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            if FOLDER_NAME.fullmatch(folder.name) and _is_left_over(folder):
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
    return removed


def _sweep_once(temporary: Path) -> None:
    """A process sweeps a folder of temporary files before it first adds to it."""
    if str(temporary) not in _swept:
        _swept.add(str(temporary))
        sweep(temporary)


def _is_left_over(folder: Path) -> bool:
    """Whether the folder is this user's and its owner is gone. Raises OSError where it is too."""
    if fcntl is None or folder.is_symlink():
        return False
    state = folder.stat()
    if state.st_uid != os.getuid():
        return False
    owner = folder / OWNER_FILE
    if not owner.exists():
        return time.time() - state.st_mtime > UNOWNED_FOR_S
    with owner.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its owner has it, or the file system knows no locks
            return False
    return True


@contextlib.contextmanager
def _owned(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. It has its name only once it is locked: nobody sees it free."""
    if fcntl is None:
        yield
        return
    unnamed = folder / f"{OWNER_FILE}-unlocked"
    with unnamed.open("wb") as stream:
        with contextlib.suppress(OSError):  # no locks on this file system: then no sweep either
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(folder / OWNER_FILE)
        yield


def _start_guardian() -> _Guardian:
    mark = secrets.token_hex(8)
    environment = {name: value for name, value in os.environ.items() if name != guardian.MARK}
    search_path = Path(psutil.__file__).parents[1]
    command = [sys.executable, "-I", "-S", guardian.__file__]
    arguments = [str(os.getpid()), mark, tempfile.gettempdir(), str(search_path)]
    try:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=Path(sys.executable).anchor or None,
            start_new_session=True,  # a Ctrl-C or a kill of the whole group is not meant for it
        )
    except OSError as error:
        raise DeployBenchError(
            f"no child process can be started: {error.strerror or error}",
            expected="room for one more process",
            action="end other programs, or raise the limit (ulimit -u)",
        ) from error
    atexit.register(_say_farewell, process, os.getpid())
    return _Guardian(process, os.getpid(), mark)


def _say_farewell(process: subprocess.Popen[bytes], of: int) -> None:
    """Tell the guardian that its process ends as it should."""
    if os.getpid() != of:  # a fork of it
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        process.communicate(guardian.FAREWELL, timeout=1)


def _user_name() -> str:
    """The user's name as TorchInductor writes it into the name of its cache."""
    try:
        name = getpass.getuser()
    except (KeyError, ModuleNotFoundError, OSError):
        name = f"uid_{os.getuid()}" if hasattr(os, "getuid") else "unknown_user"
    return re.sub(r'[\\/:*?"<>|]', "_", name)
