"""The command as the user typed it, for what a refusal says to type next."""

from __future__ import annotations

import shlex
import sys


def typed_with(flag: str) -> str:
    """What was typed, and the flag: ready to be copied into a shell.

    Where ``--`` ends the options, the flag stands before it.
    """
    words = sys.argv[1:]
    end = len(words)
    if "--" in words:
        end = words.index("--")
    return shlex.join(["deploybench", *words[:end], flag, *words[end:]])
