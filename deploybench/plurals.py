"""Numbers with the word for what they count: ``1 launch``, ``2 launches``, ``1 of 6 was``; and
shares as people write them: ``5%``."""

from __future__ import annotations


def counted(count: float, one: str, many: str = "") -> str:
    """The number with its word; ``many`` is the plural where it is not the word with an s.

    A number that may be no whole one is shown with six digits at most: ``1.5 CPUs``.
    """
    if count == 1:
        return f"1 {one}"
    number = str(count)
    if isinstance(count, float):
        number = f"{count:g}"
    return f"{number} {many or one + 's'}"


def counted_of(part: int, whole: int, one: str, many: str = "") -> str:
    """A part of what is counted, with its verb: ``1 of 6 launches was``, ``2 of 6 were``."""
    verb = "were"
    if part == 1:
        verb = "was"
    return f"{part} of {counted(whole, one, many)} {verb}"


def read_percent(text: str) -> float | None:
    """``5%`` as 0.05; None for what is no percentage.

    The sign is asked for: a bare 5 could be 5 % or five times, 0.99 could be 99 % or less than 1 %.
    """
    number = text.strip()
    if not number.endswith("%"):
        return None
    try:
        return float(number.removesuffix("%")) / 100
    except ValueError:
        return None
