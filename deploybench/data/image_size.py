"""Image sizes in words. A size is height and width in pixels."""

from __future__ import annotations

from collections.abc import Sequence


def size_text(size: Sequence[object]) -> str:
    """``224x224``: what ``--image-size`` reads, too."""
    return "x".join(map(str, size))


def full_text(size: Sequence[object], patch: int | None = None) -> str:
    """``224x224``; ``224x224/16`` with ``patch``, the length of a transformer's patches."""
    if patch:
        return f"{size_text(size)}/{patch}"
    return size_text(size)


def short_text(size: Sequence[object], patch: int | None = None) -> str:
    """``224`` for a square, ``96x160`` for others.

    ``224/16`` with ``patch``, the length of a transformer's patches.
    """
    pixels = size_text(size)
    if size[0] == size[-1]:
        pixels = str(size[0])
    if patch:
        return f"{pixels}/{patch}"
    return pixels
