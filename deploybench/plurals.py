"""Numbers with the word for what they count: ``1 launch``, ``2 launches``, ``1 of 6 was``."""

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
