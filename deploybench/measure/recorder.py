"""Where a window's figures are written while it lasts: whole numbers in memory set aside before.

A Python list of tuples took 557 bytes a call, which was taken for the model's memory. Here a row
takes 8 bytes a column, in anonymous maps that are all touched when they are made, so that neither
the allocator nor a page fault stands between two calls, and what they hold is known to the byte.
"""

from __future__ import annotations

import mmap

import numpy as np

ROWS = 1 << 16
"""Of one piece; another is added, between two samples, when it is full: about half a millisecond
each."""
BYTES = 8


class Recorder:
    """Columns of 64-bit whole numbers that grow by pieces of ``ROWS`` rows."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._pieces: list[tuple[memoryview, ...]] = []

    @property
    def held_bytes(self) -> int:
        """What all pieces take."""
        return len(self._pieces) * self._columns * ROWS * BYTES

    def grow(self) -> tuple[memoryview, ...]:
        """The columns of a new piece, to be written by row."""
        memory = mmap.mmap(-1, self._columns * ROWS * BYTES)
        np.frombuffer(memory, dtype=np.int64).fill(0)
        cells = memoryview(memory).cast("q")
        edges = range(0, self._columns * ROWS, ROWS)
        piece = tuple(cells[edge : edge + ROWS] for edge in edges)
        self._pieces.append(piece)
        return piece

    def column(self, number: int, rows: int) -> list[int]:
        """The first ``rows`` numbers of a column."""
        numbers: list[int] = []
        for piece in self._pieces:
            numbers += piece[number][: rows - len(numbers)].tolist()
        return numbers
