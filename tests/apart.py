"""What a test keeps away from the process that runs all the tests.

A signal of the kernel was seen to end it by a segmentation fault, after two thousand tests with
native libraries in it. What Python does with a signal is the same here; what the kernel does is
tried on processes of their own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context


def interrupt() -> None:
    """What a Ctrl-C calls, called."""
    handler = signal.getsignal(signal.SIGINT)
    assert callable(handler)
    handler(signal.SIGINT, None)


def run_apart(function: Callable[..., None], *arguments: object) -> None:
    """Run a function of a module in a process of its own that imports everything anew; what it
    raises, and its death, fails the test."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        fresh.submit(function, *arguments).result()
