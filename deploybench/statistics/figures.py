"""A figure with its interval, and what the interval rests on."""

from __future__ import annotations

from typing import Literal

from deploybench.documents import Document

Basis = Literal["bootstrap", "wilson", "newcombe", "none"]
"""``bootstrap``: images drawn again and again with replacement. ``wilson``: the score interval of a
share. ``newcombe``: the same for an area under a curve. ``none``: there is no interval."""


class Figure(Document):
    """A value with the 95 % interval of what it estimates; None ends where nothing tells."""

    value: float
    low: float | None = None
    high: float | None = None
    by: Basis = "none"
