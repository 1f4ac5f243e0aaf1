"""The guardian of one process: it outlives a parent that is killed, and leaves nothing behind.

Started beside the first child (``python guardian.py PID MARK TEMPORARY_FOLDER SEARCH_PATH``), it
waits without a use of CPU time until the pipe at its standard input ends, which happens at whatever
moment and in whatever way the parent does: no system call of ours has to be reached for that. It
then kills every process that carries the parent's mark in its environment, which children and what
they start (compilers, pools of workers, servers) inherit, also those in a session of their own; and
it removes the temporary folders that bear the parent's number, and those elsewhere that the parent
told of. A parent that ends as it should tells so first: then the guardian looks once for what its
children left running, and leaves.

It imports nothing of this program, and psutil only where there is no /proc.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

MARK = "DEPLOYBENCH_FAMILY"
"""The variable by which the processes of one parent are known."""
FOLDER_PREFIX = "deploybench-"
FAREWELL = b"done"
END_OF_PATH = b"\0"
"""After each folder elsewhere that the parent works in; what comes after the last is a farewell."""
LONGEST_READ = 1 << 16
CALM_SCANS = 2
"""A process that was being started while we looked is found by the second look."""
SCAN_PAUSE_S = 0.05
GIVE_UP_S = 30.0
"""A process that does not die of SIGKILL waits for a device: nobody can help that."""


def main() -> None:
    """Wait for the parent's end; clean up after it unless it said farewell."""
    parent, mark, temporary, search_path = sys.argv[1:]
    told = b""
    while not told.endswith(FAREWELL):
        more = os.read(0, LONGEST_READ)
        if not more:
            break
        told += more
    *folders, last = told.split(END_OF_PATH)
    farewell = last == FAREWELL
    sys.path.append(search_path)
    if farewell:
        # Its children have ended, and it waits for us: what they left, if they did, goes with it.
        kill_all_marked(MARK, mark)
        return
    kill_family(mark)
    remove_folders(Path(temporary), int(parent))
    for folder in folders:
        shutil.rmtree(os.fsdecode(folder), ignore_errors=True)


def kill_family(mark: str) -> None:
    """Kill every process that carries the mark, until none is found any more."""
    calm = 0
    end = time.monotonic() + GIVE_UP_S
    while calm < CALM_SCANS and time.monotonic() < end:
        if kill_marked(MARK, mark):
            calm = 0
        else:
            calm += 1
        time.sleep(SCAN_PAUSE_S)


def remove_folders(temporary: Path, parent: int) -> None:
    """Remove the temporary folders of the process with that number."""
    for folder in temporary.glob(f"{FOLDER_PREFIX}{parent}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def kill_all_marked(variable: str, value: str) -> None:
    """Kill what has that in its environment, until a look finds none: for what its parent has
    ended already, which starts no others."""
    end = time.monotonic() + GIVE_UP_S
    while kill_marked(variable, value) and time.monotonic() < end:
        time.sleep(SCAN_PAUSE_S)


def kill_marked(variable: str, value: str) -> bool:
    """Kill every process that has that in its environment, but this one; whether there was any."""
    if sys.platform.startswith("linux"):
        marked = _marked_by_proc(f"{variable}={value}".encode())
    else:
        marked = _marked_by_psutil(variable, value)
    found = False
    for number in marked:
        # Those that have ended meanwhile need not be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)
            found = True
    return found


def _marked_by_proc(entry: bytes) -> list[int]:
    """The numbers of the processes with that entry: some ms, without an import. A process that has
    ended and was not waited for has no environment any more."""
    marked = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        # those of other users do not tell
        with contextlib.suppress(OSError):
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                marked.append(int(folder.name))
    return marked


def _marked_by_psutil(variable: str, value: str) -> list[int]:
    import psutil

    marked = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(variable) == value:
                marked.append(process.pid)
    return marked


if __name__ == "__main__":
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
