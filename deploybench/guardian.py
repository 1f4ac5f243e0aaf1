"""The guardian of one process: it outlives a parent that is killed, and leaves nothing behind.

Started beside the first child (``python guardian.py PID MARK TEMPORARY_FOLDER SEARCH_PATH``), it
waits without a use of CPU time until the pipe at its standard input ends, which happens at whatever
moment and in whatever way the parent does: no system call of ours has to be reached for that. It
then kills every process that carries the parent's mark in its environment, which children and what
they start (compilers, pools of workers, servers) inherit, also those in a session of their own; and
it removes the temporary folders that bear the parent's number. A parent that ends as it should
tells so first, and the guardian just leaves.

It imports nothing of this program, and psutil only when it has to act.
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
CALM_SCANS = 2
"""A process that was being started while we looked is found by the second look."""
SCAN_PAUSE_S = 0.05
GIVE_UP_S = 30.0
"""A process that does not die of SIGKILL waits for a device: nobody can help that."""


def main() -> None:
    """Wait for the parent's end; clean up after it unless it said farewell."""
    parent, mark, temporary, search_path = sys.argv[1:]
    if os.read(0, len(FAREWELL)) == FAREWELL:
        return
    sys.path.append(search_path)
    kill_family(mark)
    remove_folders(Path(temporary), int(parent))


def kill_family(mark: str) -> None:
    """Kill every process that carries the mark, until none is found any more."""
    calm = 0
    end = time.monotonic() + GIVE_UP_S
    while calm < CALM_SCANS and time.monotonic() < end:
        if _kill_marked(mark):
            calm = 0
        else:
            calm += 1
        time.sleep(SCAN_PAUSE_S)


def remove_folders(temporary: Path, parent: int) -> None:
    """Remove the temporary folders of the process with that number."""
    for folder in temporary.glob(f"{FOLDER_PREFIX}{parent}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _kill_marked(mark: str) -> bool:
    """Kill those that carry the mark now; whether there was any."""
    import psutil

    found = False
    for process in psutil.process_iter():
        # those of other users do not tell, and those that have just ended need not
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if process.environ().get(MARK) == mark:
                found = True
                process.kill()
    return found


if __name__ == "__main__":
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
