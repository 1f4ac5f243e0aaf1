"""Regular expressions of profiles: those that end.

Python's matcher tries every way to divide the text among the parts of an expression. Each ``.*``
multiplies the ways by the length of the text, and repeats within repeats double them with every
character: ``(a+)+$`` takes longer than the machine lasts. A profile may come from anybody, and the
name of a processor or a GPU takes no such expression to be told.
"""

from __future__ import annotations

import re

from deploybench.plurals import counted

LONGEST_PATTERN = 200
MOST_REPEATS = 3
"""Of ``*``, ``+``, ``?`` and ``{m,n}`` together. A name of n characters takes n^4 / 24 steps then
at most, a part of a second; with five it took 20 s."""
LONGEST_TEXT = 80
"""Of a name that is matched: what follows is not looked at. The longest known has 64."""
ESCAPED = re.compile(r"\\.", re.DOTALL)
CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
GROUP_START = re.compile(r"\(\?(?:P<\w+>|P=\w+\)|[aiLmsux-]*:|<?[=!]|#[^)]*\)|[aiLmsux-]+\))?")
REPEAT = re.compile(r"(?:[*+?]|\{\d*,?\d*\})[?+]?")


def check_pattern(pattern: str) -> None:
    """Raise ValueError for an expression that is none, or that may take for ever."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(
            f"a pattern of {counted(len(pattern), 'character')}; at most {LONGEST_PATTERN}"
        )
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
    # What stands for itself, or for one character, is one letter from here on.
    plain = GROUP_START.sub("(", CLASS.sub("x", ESCAPED.sub("x", pattern)))
    repeats = REPEAT.findall(plain)
    if len(repeats) > MOST_REPEATS:
        raise ValueError(
            f"'{pattern}' repeats {counted(len(repeats), 'part')}; at most {MOST_REPEATS}"
        )
    if _repeats_a_choice(plain):
        raise ValueError(f"'{pattern}' repeats a group that itself repeats or chooses")


def found_in(pattern: str, text: str) -> bool:
    """Whether the text has what the pattern says, anywhere, without regard to case."""
    return re.search(pattern, text[:LONGEST_TEXT], re.IGNORECASE) is not None


def _repeats_a_choice(plain: str) -> bool:
    """Whether a group is repeated in which something is repeated, or one of several is taken."""
    starts: list[int] = []
    for position, sign in enumerate(plain):
        if sign == "(":
            starts.append(position)
        elif sign == ")" and starts:
            inside = plain[starts.pop() + 1 : position]
            repeated = REPEAT.match(plain, position + 1) is not None
            if repeated and ("|" in inside or REPEAT.search(inside) is not None):
                return True
    return False
