"""What children have of the thread that starts them: CPUs, signals that are held back, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deploybench.errors import DeployBenchError

LARGEST_FILE_BYTES = 64 << 30
"""No artifact is near it; what goes on writing would fill the disk."""
SLEEPER = "deploybench-sleeper"
"""The name of a thread that sleeps and holds no lock that a fork of the process could want."""


Started = TypeVar("Started")
_lasting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="deploybench-starter")


def from_lasting_thread(start: Callable[[], Started]) -> Started:
    """What ``start`` returns or raises, called in a thread that lasts as long as this process.

    For children that outlive their caller's thread: on Linux, one that is to die with its parent
    dies with the *thread* that started it (PR_SET_PDEATHSIG, prctl(2)), and a web server's pool
    ends its threads when they have had nothing to do for some seconds.
    """
    if threading.current_thread() is threading.main_thread():
        return start()
    return _lasting.submit(start).result()


def can_pin() -> bool:
    """Whether this system keeps a process on certain CPUs when it is asked to."""
    return hasattr(os, "sched_setaffinity")


@contextlib.contextmanager
def pinned(cpus: Collection[int]) -> Iterator[None]:
    """What is started within the body runs on these CPUs only; on any where there are none of them.

    A child inherits the affinity mask of the thread that starts it (sched_setaffinity(2)): it is on
    its CPUs before it imports anything, and so are all threads and processes that it starts. This
    thread has its own mask again afterwards; the other threads of this process keep theirs.

    Raises DeployBenchError where the system refuses the CPUs.
    """
    if not cpus:
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        numbers = ",".join(map(str, sorted(cpus)))
        raise DeployBenchError(
            f"no process can be pinned to CPUs {numbers}: {error.strerror or error}",
            expected="CPUs that this process may use",
            action="--pin none measures without",
        ) from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes that are started meanwhile begin with SIGINT held back until they unblock it; one
    that comes here is handled afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def limit_files() -> None:
    """This process, and what it starts, writes no core file and none over a limit.

    A crash of a runtime would leave its whole memory in the user's folder. (The memory itself is
    not limited: CUDA and PyTorch reserve address space far beyond what they use.)
    """
    if sys.platform == "win32":
        return
    import resource

    wanted = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, LARGEST_FILE_BYTES))
    for limit, most in wanted:
        soft, hard = resource.getrlimit(limit)
        if soft == resource.RLIM_INFINITY or soft > most:
            resource.setrlimit(limit, (most, hard))
