"""What is said when this program itself is at fault.

Short on the terminal, whole in a file; the exit code is no command's result.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import traceback
from pathlib import Path

from deploybench.inert import inert
from deploybench.tracebacks import VARIABLE, whole_traceback, write_traceback

FRAMES = 3


def report_crash(error: BaseException) -> None:
    """Say on standard error what broke.

    What was run, with which version, where it broke, and where the whole traceback is.
    """
    whole = whole_traceback(error)
    lines = [f"crashed:  {_last_line(error)}", f"ran:      {_command()}", f"version:  {_version()}"]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    # The heading stands before the first of them.
    heading = "at:"
    for frame in frames:
        lines.append(f"{heading:9} {frame.filename}:{frame.lineno} in {frame.name}")
        heading = ""
    if os.environ.get(VARIABLE):
        lines.append(whole)
    else:
        lines.append(_where_the_rest_is(whole))
    lines.append("do:       this is a fault of deploybench and no result: please report it")
    # A traceback has lines of its own: each is made inert by itself.
    seen = [inert(line) for text in lines for line in text.split("\n")]
    print("\n".join(seen), file=sys.stderr, flush=True)


def _last_line(error: BaseException) -> str:
    """The error in one line, whatever its message looks like."""
    words = "".join(traceback.format_exception_only(error)).split()
    return " ".join(words)[:400]


def _command() -> str:
    return shlex.join(["deploybench", *sys.argv[1:]])


def _version() -> str:
    from deploybench import __version__

    return f"deploybench {__version__}, Python {platform.python_version()}, {platform.platform()}"


def _where_the_rest_is(whole: str) -> str:
    """Keep the traceback beside the caches; where that cannot be written, print it after all."""
    try:
        path = write_traceback(f"{_command()}\n{_version()}\n{Path.cwd()}\n\n{whole}")
    except OSError:
        return whole
    return f"whole:    {path} ({VARIABLE}=1 or deploybench --traceback prints it)"
