"""Reads limits with their units: times, bytes, rates.

A number without its unit is refused: 10 could be milliseconds or seconds.
"""

from __future__ import annotations

import re

from deploybench.errors import DeployBenchError

NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?) *([a-zA-Zµ/]*)")
MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
BYTES = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
BYTES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
"""MB is 2^20 bytes, as in every table of this program."""
PER_SECOND = {"/s": 1.0, "img/s": 1.0, "images/s": 1.0, "fps": 1.0}


def milliseconds(text: str, option: str) -> float:
    """``10ms``, ``0.5s`` in ms."""
    return _read(text, option, MILLISECONDS, "a time with its unit: 10ms, 0.5s, 800us")


def byte_count(text: str, option: str) -> float:
    """``200MB``, ``1.5GiB`` in bytes."""
    return _read(text, option, BYTES, "an amount with its unit: 200MB, 1.5GB (MB: 2^20 bytes)")


def images_per_second(text: str, option: str) -> float:
    """``100/s`` in images a second."""
    return _read(text, option, PER_SECOND, "images a second: 100/s")


def _read(text: str, option: str, units: dict[str, float] | dict[str, int], expected: str) -> float:
    found = NUMBER.fullmatch(text.strip())
    if found is not None and found[2].lower() in units:
        value = float(found[1]) * units[found[2].lower()]
        if 0 < value < float("inf"):
            return value
    raise DeployBenchError(f"{option} {text}", expected=expected)
