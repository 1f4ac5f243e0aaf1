"""What children inherit from the thread that starts them: its CPUs, and signals it holds back."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Collection, Iterator

from deploybench.errors import DeployBenchError

LARGEST_FILE_BYTES = 64 << 30
"""No artifact is near it; what goes on writing would fill the disk."""
SLEEPER = "deploybench-sleeper"
"""The name of a thread that sleeps and holds no lock that a fork of the process could want."""


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
