"""A child process that is at rest between the questions that it answers.

It reads one line from its standard input for each question and answers with one line on a pipe of
its own, so that whatever a runtime prints is no answer. Between two answers its whole process group
is stopped (SIGSTOP): threads that would spin for their next work take no CPU time from what is
measured meanwhile. Where there is no SIGSTOP there are no residents.

A stopped child dies with its parent like any other: what kills it (``processes.die_with_parent``,
``family.py``) is SIGKILL, which no process can be stopped from.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack

import psutil

from deploybench.children.family import kill_strays, scratch_folder
from deploybench.children.inherited import from_lasting_thread, pinned
from deploybench.children.processes import (
    HERE,
    STDERR_TAIL_BYTES,
    Interpreter,
    cause_of_death,
    child_environment,
    kill_group,
    python_module,
)
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_tail

REPLIES = "DEPLOYBENCH_REPLIES"
"""The variable that tells a resident the number of the pipe for its answers."""
CAN_REST = hasattr(signal, "SIGSTOP")
LONGEST_READ = 1 << 16
RESTLESS_SHARE = 0.25
"""Of one CPU: a child that takes more than this over all its rests was not stopped. Threads that
spin take some ms until the signal has reached them, of a rest of 200 ms."""
LEAST_CPU_S = 0.2
"""The system counts CPU time in steps of 10 ms, and a busy one is late with its stopping."""


class ResidentLostError(Exception):
    """The child died, or did not answer in time; the text says how."""


class Resident:
    """A child ``python -m module`` that rests between the questions; a context manager.

    It is pinned to ``cpus``, if there are any, and runs in ``interpreter``. It lives until it is
    closed or this process ends, whichever thread it is started in. Raises DeployBenchError where no
    child can be started, or pinned.
    """

    def __init__(
        self,
        module: str,
        environment: Mapping[str, str] | None = None,
        cpus: Collection[int] = (),
        interpreter: Interpreter = HERE,
    ) -> None:
        self._stack = ExitStack()
        folder = self._stack.enter_context(scratch_folder())
        self._log_path = folder / "log.txt"
        reading, writing = os.pipe()
        self._replies = reading
        self._stack.callback(os.close, reading)
        self._unread = b""
        self._rested: tuple[float, float] | None = None
        self._rested_s = self._used_s = 0.0
        """Of all rests: how long they were, and the CPU time that it took meanwhile."""
        changes = {**(environment or {}), REPLIES: str(writing)}
        variables = child_environment(folder, changes, interpreter)
        with self._log_path.open("wb") as log:

            def start() -> subprocess.Popen[bytes]:
                with pinned(cpus):
                    return subprocess.Popen(
                        python_module(module, interpreter),
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        env=variables,
                        pass_fds=(writing,),
                        start_new_session=True,
                    )

            try:
                self._child = from_lasting_thread(start)
            except DeployBenchError:
                self._stack.close()
                raise
            except OSError as error:
                self._stack.close()
                raise DeployBenchError(
                    f"no child process can be started: {error.strerror or error}",
                    expected="room for one more process",
                    action="end other programs, or raise the limit (ulimit -u)",
                ) from error
            finally:
                os.close(writing)
        self._stack.callback(kill_strays, variables)
        self._stack.callback(self._kill)

    def __enter__(self) -> Resident:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def number(self) -> int:
        """The process number."""
        return self._child.pid

    @property
    def restless(self) -> bool:
        """Whether it took CPU time while it should have been at rest."""
        return self._used_s > max(RESTLESS_SHARE * self._rested_s, LEAST_CPU_S)

    def ask(self, question: str, time_limit_s: float) -> str:
        """The answer to a question, both without a newline; the child rests afterwards.

        Raises ResidentLostError when it dies, or has not answered in time: then it is killed.
        """
        assert self._child.stdin is not None
        try:
            # Written before it wakes up, so that it never waits for the rest of a line.
            self._child.stdin.write(f"{question}\n".encode())
            self._child.stdin.flush()
            self._wake()
            answer = self._answer(time_limit_s)
        except BrokenPipeError:
            raise ResidentLostError(self._cause()) from None
        self._rest()
        return answer

    def close(self) -> None:
        """Kill the child, its group, and what it left among the temporary files."""
        with contextlib.suppress(OSError, AttributeError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        self._stack.close()

    def _wake(self) -> None:
        if self._rested is not None:
            since, cpu_before_s = self._rested
            self._rested_s += time.monotonic() - since
            self._used_s += self._cpu_s() - cpu_before_s
        self._signal(signal.SIGCONT)

    def _rest(self) -> None:
        self._signal(signal.SIGSTOP)
        self._rested = (time.monotonic(), self._cpu_s())

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)

    def _cpu_s(self) -> float:
        """CPU time of the child so far, and of its own children that it has waited for."""
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(self._child.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _answer(self, time_limit_s: float) -> str:
        end = time.monotonic() + time_limit_s
        while b"\n" not in self._unread:
            left_s = end - time.monotonic()
            if left_s <= 0 or not select.select([self._replies], [], [], left_s)[0]:
                self._kill()
                raise ResidentLostError(f"stopped after the time limit of {time_limit_s:g} s")
            read = os.read(self._replies, LONGEST_READ)
            if not read:  # the other end is closed: the child has died
                raise ResidentLostError(self._cause())
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def _kill(self) -> None:
        """Once: the number of a child that was reaped may be another's by now."""
        if self._child.returncode is None:
            kill_group(self._child)

    def _cause(self) -> str:
        self._kill()
        log = read_tail(self._log_path, STDERR_TAIL_BYTES)
        return cause_of_death(self._child.returncode, log)


def questions() -> Iterator[str]:
    """In a resident: the questions as they come; the end when the parent wants no more."""
    for line in sys.stdin:
        yield line.rstrip("\n")


def replier() -> Callable[[str], None]:
    """In a resident: what sends an answer, a text without a newline.

    The pipe is this process's alone: children of a runtime do not hold it open.
    """
    number = int(os.environ.pop(REPLIES))
    os.set_inheritable(number, False)
    stream = os.fdopen(number, "wb")

    def reply(answer: str) -> None:
        stream.write(answer.encode() + b"\n")
        stream.flush()

    return reply
