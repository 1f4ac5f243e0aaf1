"""Words of others made inert: whatever a name or a message holds, a printer prints it and no more.

Names of models, labels, hosts and files, reasons and messages of runtimes come from files that
anybody may have written. In a terminal an escape code can move the cursor, change the title or fill
the clipboard; a carriage return or a change of the writing direction lets a line say something
else. Every printer takes its words through here, and nothing else prints words of others.

This module imports nothing heavy: errors are printed with it, too. It stands on the ground, because
rows are written as CSV without any report.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence

BREAKS = re.compile(r"[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
"""What ends a line, or moves on within it: a space says the same."""
ACTIVE = frozenset({"Cc", "Cf", "Cs"})
"""Categories of characters that do something or are not seen: control codes, marks of the writing
direction and of no width, halves of a character that does not decode."""
LONGEST_WORD = 100
"""A word of a table's cell may be that long: no path, name or key of ours that is to be copied is
longer."""
SHORTENED = 60
"""What is left of a longer one."""
FORMULA = re.compile(r"[=@+-]")
MARKS = re.compile(r"([\\`*|<>\[\]~$&]|(?<![^\W_])_|_(?![^\W_]))")
"""What means something to Markdown anywhere in a line; an underscore within a word is one."""
LINE_MARKS = re.compile(r"^(\d{0,9})([#+=-](?=[#+=-]*(?: |$))|(?<=\d)[.)](?= |$))")
"""What makes a line a heading, a rule or an item of a list."""
FIGURE = re.compile(r"[+-]\d[\d.,]*(?:[eE][+-]?\d+)? ?[%A-Za-z]*")


def inert(text: str) -> str:
    """The text in one line of characters that are seen and do nothing.

    Breaks become spaces. Other control codes, marks of direction and of no width, and what does not
    decode are spelled out (``\\x1b``, ``\\u202e``), so that a reader sees that they are there.
    """
    if text.isprintable():
        return text
    return "".join(map(_seen, BREAKS.sub(" ", text)))


def _seen(character: str) -> str:
    if unicodedata.category(character) not in ACTIVE:
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    if code < 0x10000:
        return f"\\u{code:04x}"
    return f"\\U{code:08x}"


def shortened(text: str) -> str:
    """The text with words of over 100 characters cut down in the middle to 60.

    A table of such words would be no table. JSON and CSV have them whole.
    """
    if len(text) <= LONGEST_WORD:
        return text
    return " ".join(map(_short_word, text.split(" ")))


def _short_word(word: str) -> str:
    if len(word) <= LONGEST_WORD:
        return word
    kept = SHORTENED - 1  # one character stands for all that is left out
    head = kept // 2
    return f"{word[:head]}…{word[head - kept :]}"


def no_formula(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula.

    One that begins as a formula does (``=cmd|...``) gets an apostrophe before it, which is what
    spreadsheets take for text; figures with a sign stay as they are.
    """
    if FORMULA.match(text) and not FIGURE.fullmatch(text):
        return f"'{text}"
    return text


def csv_cell(value: object) -> object:
    """A value as a cell of CSV: words that are only seen, and that are no formula.

    Numbers stay as they are, lists are one cell with commas between, mappings one of JSON.
    """
    if isinstance(value, Mapping):
        return inert(json.dumps(value, default=str))
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    if isinstance(value, list | tuple):
        text = ", ".join(map(str, value))
    return no_formula(inert(text))


def plain_markdown(text: str) -> str:
    """Text that Markdown shows as it is.

    Within a table, too: there a bar would end the cell, and a line break the row. Marks of a
    heading or of a list count at the beginning of a line only. What looks like an address becomes a
    link on GitHub all the same; it leads to where it says.
    """
    plain = " ".join(text.split())
    return LINE_MARKS.sub(r"\1\\\2", MARKS.sub(r"\\\1", plain))


def fence_around(lines: Sequence[str]) -> str:
    """A fence of Markdown's code that none of the lines ends."""
    longest = max((len(run) for run in re.findall("`+", "\n".join(lines))), default=0)
    return "`" * max(3, longest + 1)
