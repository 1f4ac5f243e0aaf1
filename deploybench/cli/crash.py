"""What is said when this program itself is at fault.

Short on the terminal, whole in a file; the exit code is no command's result.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import traceback
from datetime import datetime, timezone
from pathlib import Path

from deploybench.inert import inert

TRACEBACK_VARIABLE = "DEPLOYBENCH_TRACEBACK"
FRAMES = 3


def report_crash(error: BaseException) -> None:
    """Say on standard error what broke.

    What was run, with which version, where it broke, and where the whole traceback is.
    """
    whole = "".join(traceback.format_exception(error))
    lines = [f"crashed:  {_last_line(error)}", f"ran:      {_command()}", f"version:  {_version()}"]
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    # The heading stands before the first of them.
    heading = "at:"
    for frame in frames:
        lines.append(f"{heading:9} {frame.filename}:{frame.lineno} in {frame.name}")
        heading = ""
    if os.environ.get(TRACEBACK_VARIABLE):
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
        path = _crash_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"{_command()}\n{_version()}\n{Path.cwd()}\n\n{whole}"
        path.write_text(text, "utf-8", errors="replace")
    except OSError:
        return whole
    return f"whole:    {path} ({TRACEBACK_VARIABLE}=1 or deploybench --traceback prints it)"


def _crash_file() -> Path:
    from deploybench.files import cache_folder

    now = datetime.now(timezone.utc)
    return cache_folder() / "crashes" / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
