"""The whole traceback of what was raised, in a file beside the caches.

What a plug-in raises is told in a row by its words alone. Who repairs the plug-in asks for more:
with ``deploybench --traceback`` the row also says where the traceback lies.
"""

from __future__ import annotations

import os
import traceback
from datetime import datetime, timezone
from pathlib import Path

from deploybench.files import cache_folder

VARIABLE = "DEPLOYBENCH_TRACEBACK"
"""The variable by which children know that ``--traceback`` was given."""


def whole_traceback(error: BaseException) -> str:
    """As Python prints it."""
    return "".join(traceback.format_exception(error))


def write_traceback(text: str) -> Path:
    """Keep the text in a file of its own. Raises OSError where that cannot be written."""
    now = datetime.now(timezone.utc)
    path = cache_folder() / "crashes" / f"{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8", errors="replace")
    return path


def where_its_traceback_is(error: BaseException) -> str:
    """Words to append to those of an error that a plug-in raised.

    Empty where nobody asked for them, and where the traceback cannot be kept.
    """
    if not os.environ.get(VARIABLE):
        return ""
    try:
        path = write_traceback(whole_traceback(error))
    except OSError:
        return ""
    return f" (traceback: {path})"
