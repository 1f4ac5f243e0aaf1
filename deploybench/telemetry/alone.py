"""One measurement at a time: a second one of the same user on this machine waits for the first.

Two that measure side by side disturb each other for all of their time, and both would say so at the
end of it. Who measures holds a lock that the system frees with its process, however that ends. The
file lies in the user's cache, with the machine's name: hosts that share a home do not wait for each
other. Other users are not waited for: what they take is seen while measuring, like any other work.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from platform import node

from deploybench.files import cache_folder, slug

try:
    import fcntl
except ImportError:  # Windows: nobody waits there
    fcntl = None  # type: ignore[assignment]

LOOK_AGAIN_S = 0.5
_in_this_process = threading.RLock()
_depth = 0


@dataclass(frozen=True)
class WaitingForOther:
    """Another process of this user measures on this machine: this one begins when that ends.

    ``process`` is its number, ``since`` when it began; None where it did not say so yet.
    """

    process: int | None
    since: datetime | None

    @property
    def words(self) -> str:
        """What a user reads: ``process 4711 measures on this machine since 12:03:11: waiting``."""
        who = "another process"
        if self.process is not None:
            who = f"process {self.process}"
        since = ""
        if self.since is not None:
            since = f" since {self.since:%H:%M:%S}"
        return f"{who} measures on this machine{since}: waiting until it ends"


@contextlib.contextmanager
def alone_on_this_machine(tell: Callable[[WaitingForOther], None]) -> Iterator[None]:
    """Measure in the body: no other process of this user does meanwhile.

    ``tell`` hears once that there is something to wait for. A body within a body, and a second
    thread of this process, need no lock of their own. Where none can be had (no such locks on this
    system, a cache that cannot be written to) nobody waits.
    """
    global _depth
    with _in_this_process:
        _depth += 1
        try:
            if _depth > 1:
                yield
            else:
                with _lock(tell):
                    yield
        finally:
            _depth -= 1


@contextlib.contextmanager
def _lock(tell: Callable[[WaitingForOther], None]) -> Iterator[None]:
    try:
        descriptor = _opened()
    except OSError:
        descriptor = None
    if fcntl is None or descriptor is None:
        yield
        return
    try:
        told = False
        while not _locked(descriptor):
            if not told:
                tell(_holder(descriptor))
                told = True
            time.sleep(LOOK_AGAIN_S)
        # From its beginning, and no longer than this: whoever waits reads it meanwhile.
        text = f"{os.getpid()} {datetime.now().isoformat(timespec='seconds')}\n"
        os.pwrite(descriptor, text.encode(), 0)
        os.ftruncate(descriptor, len(text))
        yield
    finally:
        # Closing frees the lock only where no forked child holds the same file open.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _opened() -> int:
    path = cache_folder() / f"measuring-{slug(node() or 'host')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(descriptor: int) -> bool:
    """Whether the lock is ours now. OSError of a file system without locks counts as having it:
    nobody else can hold one there."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _holder(descriptor: int) -> WaitingForOther:
    words = os.pread(descriptor, 100, 0).decode(errors="replace").split()
    try:
        return WaitingForOther(int(words[0]), datetime.fromisoformat(words[1]))
    except (IndexError, ValueError):
        return WaitingForOther(None, None)
