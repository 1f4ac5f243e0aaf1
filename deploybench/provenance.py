"""Whose number it is: measured on a device, or made up by a double of the library that speaks for
it."""

from __future__ import annotations

from typing import Literal

Provenance = Literal["measured", "simulated"]
"""Simulated: a double stood in for a library of the device, as in tests.

Its numbers are nobody's.
"""
DOUBLE_SYMBOL = "deploybench_double"
"""What a library exports that only stands in for a driver or a runtime, as in tests."""
