"""Ctrl-C in a test, without a signal of the kernel to the process that runs all the tests.

Such a signal was seen to end that process by a segmentation fault, after two thousand tests with
native libraries in it. What Python does with a signal is the same here; what the kernel does is
tried on processes of their own.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable


def interrupt() -> None:
    """What a Ctrl-C calls, called."""
    handler = signal.getsignal(signal.SIGINT)
    assert callable(handler)
    handler(signal.SIGINT, None)


def run_apart(function: Callable[..., None], *arguments: object) -> None:
    """Run a function of a module in a process of its own that imports everything anew; what it
    raises fails the test."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0
