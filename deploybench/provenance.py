"""Whose number it is: measured on a device, made up by a double of the library that speaks for it,
or read from the file of another tool."""

from __future__ import annotations

import re
from typing import Final, Literal

Provenance = Literal["measured", "simulated"]
"""Simulated: a double stood in for a library of the device, as in tests.

Its numbers are nobody's.
"""
IMPORTED: Final = "imported"
"""Another tool measured it, by rules of its own: none of what makes our numbers ours was done."""
DOUBLE_SYMBOL = "deploybench_double"
"""What a library exports that only stands in for a driver or a runtime, as in tests."""

IMPORTED_KIND = re.compile(rb'"kind"\s*:\s*"imported"')
HEAD_BYTES = 400
"""The kind is written first."""


def is_imported(content: bytes) -> bool:
    """Whether a JSON text says of itself that it is a result that another tool measured."""
    return IMPORTED_KIND.search(content, 0, HEAD_BYTES) is not None
