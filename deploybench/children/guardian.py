"""The guardian of one process: it outlives a parent that is killed, and leaves nothing behind.

Started beside the first child (``python guardian.py PID MARK TEMPORARY_FOLDER SEARCH_PATH``), it
waits without a use of CPU time until the pipe at its standard input ends, which happens at whatever
moment and in whatever way the parent does: no system call of ours has to be reached for that. It
then kills every process that carries the parent's mark in its environment, which children and what
they start (compilers, pools of workers, servers) inherit, also those in a session of their own; and
it removes the temporary folders that bear the parent's number, and those elsewhere that the parent
told of. A parent that ends as it should tells so first: then the guardian looks once for what the
children that it was told of left running, and leaves. What else carries the mark then is none of
ours: other processes of the same program, forked by the server that our children are forked from.

It imports nothing of this program, and psutil only where there is no /proc.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Collection, Set
from pathlib import Path

MARK = "DEPLOYBENCH_FAMILY"
"""The variable by which the processes of one parent are known."""
CHILD = "DEPLOYBENCH_CHILD"
"""The variable by which a single child and all that it starts are known."""
FOLDER_PREFIX = "deploybench-"
FAREWELL = b"done"
END_OF_ENTRY = b"\0"
"""After each thing that the parent tells: a child's mark as it stands in the child's environment,
or a folder elsewhere that it works in (an absolute path, so that the two are told apart). What
comes after the last is a farewell."""
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
    *entries, last = told.split(END_OF_ENTRY)
    beginning = f"{CHILD}=".encode()
    children = []
    folders = []
    for entry in entries:
        if entry.startswith(beginning):
            children.append(entry.removeprefix(beginning).decode())
        else:
            folders.append(entry)
    sys.path.append(search_path)
    if last == FAREWELL:
        # Its children have ended, and it waits for us: what they left, if they did, goes with it.
        if children:
            kill_all_marked(CHILD, children)
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
        if kill_marked(MARK, [mark]):
            calm = 0
        else:
            calm += 1
        time.sleep(SCAN_PAUSE_S)


def remove_folders(temporary: Path, parent: int) -> None:
    """Remove the temporary folders of the process with that number."""
    for folder in temporary.glob(f"{FOLDER_PREFIX}{parent}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def kill_all_marked(variable: str, values: Collection[str]) -> None:
    """Kill what has one of them in its environment, until a look finds none: for what its parent
    has ended already, which starts no others."""
    end = time.monotonic() + GIVE_UP_S
    while kill_marked(variable, values) and time.monotonic() < end:
        time.sleep(SCAN_PAUSE_S)


def kill_marked(variable: str, values: Collection[str]) -> bool:
    """Kill every process that has one of the values in its environment, but this one; whether there
    was any."""
    if sys.platform.startswith("linux"):
        marked = _marked_by_proc({f"{variable}={value}".encode() for value in values})
    else:
        marked = _marked_by_psutil(variable, set(values))
    found = False
    for number in marked:
        # Those that have ended meanwhile need not be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(number, signal.SIGKILL)
            found = True
    return found


def _marked_by_proc(entries: Set[bytes]) -> list[int]:
    """The numbers of the processes with one of the entries: some ms, without an import. A process
    that has ended and was not waited for has no environment any more."""
    marked = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        # those of other users do not tell
        with contextlib.suppress(OSError):
            if not entries.isdisjoint((folder / "environ").read_bytes().split(b"\0")):
                marked.append(int(folder.name))
    return marked


def _marked_by_psutil(variable: str, values: Set[str]) -> list[int]:
    import psutil

    marked = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(variable) in values:
                marked.append(process.pid)
    return marked


if __name__ == "__main__":
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
