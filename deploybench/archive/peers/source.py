"""A file of another tool, what its user says of it, and numbers out of it.

Nothing in such a file is trusted: a number is finite and in the range of what can be measured, or
the file is refused with the field's name.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, NoReturn

from deploybench.archive.imported import PercentileMs, Tool
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.statistics.samples import nearest_rank, samples_needed
from deploybench.untrusted import json_of

LONGEST_MS = 7 * 24 * 3600 * 1e3
"""A call of a week: more is another unit, or no time at all."""
LONGEST_TEXT = 500
"""Characters of what is kept of a file's words."""
MOST_SAMPLES = 2_000_000
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
FRACTIONS = (0.5, 0.9, 0.95, 0.99)
CONTRADICTS = 0.02
"""Samples and the mean that a tool gives of them may differ by its rounding, and by no more."""


@dataclass(frozen=True)
class Said:
    """What the user says of a result whose file does not tell it."""

    model: str | None = None
    batch: int | None = None
    device: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class Source:
    """One file: its name as the user gave it, its bytes, what is said of it, and when it is
    imported (UTC, ISO 8601)."""

    name: str
    content: bytes
    said: Said
    imported: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def stem(self) -> str:
        """Stands for the model where nobody names it."""
        return PurePath(self.name).stem[:LONGEST_TEXT] or "unnamed"

    @cached_property
    def text(self) -> str:
        """The content as text, with a mark of the byte order or without one.

        Raises DeployBenchError for what is none.
        """
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DeployBenchError(
                f"{self.name} is no text in UTF-8", expected="the file as the tool wrote it"
            ) from None
        if "\0" in text:
            raise DeployBenchError(
                f"{self.name} is no text: it has a zero byte",
                expected="the file as the tool wrote it",
            )
        return text

    @cached_property
    def json(self) -> Any:
        """What the JSON text says; None for what is no JSON."""
        try:
            return json_of(self.text)
        except ValueError:
            return None

    def refuse(self, tool: Tool, problem: str, expected: str) -> NoReturn:
        """Raise the refusal of this file."""
        raise DeployBenchError(
            f"{self.name} does not read as a result of {tool}: {problem}",
            expected=expected,
            action="import the file as the tool wrote it",
        )


@dataclass(frozen=True)
class Numbers:
    """Reads the numbers of one file; every refusal names the field."""

    source: Source
    tool: Tool

    def number(self, value: object, field: str) -> float | None:
        """A finite number, None where there is none. Numbers in words (``"12.34"``) are read."""
        if value is None or value == "":
            return None
        if isinstance(value, str):
            text = value.strip()
            if len(text) > 40 or not PLAIN_NUMBER.fullmatch(text):
                self._refuse(field, value)
            number = float(text)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                self._refuse(field, value)
        else:
            self._refuse(field, value)
        if not math.isfinite(number):
            self._refuse(field, value)
        return number

    def ms(self, value: object, field: str, unit_ms: float = 1.0) -> float | None:
        """A time in ms; ``unit_ms`` is how many of them the file's unit has."""
        number = self.number(value, field)
        if number is None:
            return None
        time_ms = number * unit_ms
        if not 0 < time_ms <= LONGEST_MS:
            self._refuse(field, value, "a time above zero, and under a week")
        return time_ms

    def rate(self, value: object, field: str) -> float | None:
        """Something per second."""
        number = self.number(value, field)
        if number is not None and not 0 < number < 1e12:
            self._refuse(field, value, "a rate above zero")
        return number

    def count(self, value: object, field: str) -> int | None:
        """A whole number of at least one that fits 32 bits."""
        number = self.number(value, field)
        if number is None:
            return None
        if number != int(number) or not 1 <= number < 1 << 31:
            self._refuse(field, value, "a whole number above zero")
        return int(number)

    def samples(self, values: object, field: str, unit_ms: float = 1.0) -> tuple[float, ...]:
        """A list of times, in ms."""
        if not isinstance(values, list):
            self._refuse(field, values, "a list of times")
        if len(values) > MOST_SAMPLES:
            self._refuse(field, counted(len(values), "time"), f"at most {MOST_SAMPLES}")
        times = []
        for number, value in enumerate(values):
            time_ms = self.ms(value, f"{field}[{number}]", unit_ms)
            if time_ms is None:
                self._refuse(f"{field}[{number}]", value)
            times.append(time_ms)
        return tuple(times)

    def check_ascending(self, percentiles: PercentileMs) -> None:
        """Raise DeployBenchError where a higher percentile is smaller: no measurement gives that,
        mixed units do."""
        known = [value for value in percentiles.in_order if value is not None]
        if any(later < earlier for earlier, later in itertools.pairwise(known)):
            self.source.refuse(
                self.tool,
                f"its percentiles do not ascend ({', '.join(f'{value:g}' for value in known)} ms)",
                "p50 ≤ p90 ≤ p95 ≤ p99, all in one unit",
            )

    def check_mean(self, times: Sequence[float], mean_ms: float | None, field: str) -> None:
        """Raise DeployBenchError where the tool's mean is none of its samples."""
        if not times or mean_ms is None:
            return
        mean = sum(times) / len(times)
        if abs(mean - mean_ms) > CONTRADICTS * max(mean, mean_ms):
            self.source.refuse(
                self.tool,
                f"{field} is {mean_ms:g} ms, and its samples have a mean of {mean:g} ms",
                "samples and their mean in one unit, as they were written",
            )

    def _refuse(self, field: str, value: object, expected: str = "a finite number") -> NoReturn:
        self.source.refuse(self.tool, f"{field} is {shown(value)}", expected)


def percentiles_of(times: Sequence[float]) -> PercentileMs:
    """The percentiles of raw times by this program's rule; None where they are too few for one."""
    found: list[float | None] = []
    for fraction in FRACTIONS:
        enough = len(times) >= samples_needed(fraction)
        found.append(nearest_rank(times, fraction) if enough else None)
    return PercentileMs(*found)


def text_of(value: object) -> str | None:
    """A name or a word of the file's; None where it has none."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.strip()[:LONGEST_TEXT]


def words_of(values: Mapping[str, object]) -> dict[str, str]:
    """What is kept in the file's own words, without what it leaves open."""
    return {
        name: str(value)[:LONGEST_TEXT]
        for name, value in values.items()
        if isinstance(value, str | int | float) and str(value)
    }


def shown(value: object) -> str:
    """A value as an error says it."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return "a number of over 20 digits"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def mapping(value: object) -> Mapping[str, Any]:
    """The object of a JSON document that should be there; empty where it is none."""
    return value if isinstance(value, dict) else {}
