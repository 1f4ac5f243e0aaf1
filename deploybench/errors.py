"""Errors that a user can act on: what was found, what was expected, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_SOME_FAILED = 1
"""A cell or an export failed; of ``gate``: a regression."""
EXIT_REFUSED = 2
"""The input or the machine does not allow it."""
EXIT_INCONCLUSIVE = 3
"""``gate`` cannot tell."""
EXIT_CRASHED = 4
"""A fault of this program: no result, neither a good nor a bad one."""
EXIT_INTERRUPTED = 130
"""128 + SIGINT: Ctrl-C."""
EXIT_TERMINATED = 143
"""128 + SIGTERM: kill, docker stop, a job that was cancelled."""


class DeployBenchError(Exception):
    """A refusal that is shown to the user without a traceback.

    ``found`` says what the input or the machine is like, ``expected`` what would have been
    accepted, ``action`` what to type or change next.
    """

    def __init__(
        self, found: str, *, expected: str | None = None, action: str | None = None
    ) -> None:
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.action = action

    def __str__(self) -> str:
        parts = [self.found]
        if self.expected:
            parts.append(f"expected: {self.expected}")
        if self.action:
            parts.append(f"do: {self.action}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.found, self.expected, self.action))


class DeviceError(DeployBenchError):
    """A device, or the library that drives it, broke down: a launch that ends so has FAILED, it is
    not refused."""


def _rebuild(
    cls: type[DeployBenchError], found: str, expected: str | None, action: str | None
) -> DeployBenchError:
    return cls(found, expected=expected, action=action)


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, action: str | None = None
) -> DeployBenchError:
    """The refusal of a name that nothing answers to, with the nearest names that something does."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    if near:
        expected = "did you mean " + " or ".join(near) + "?"
    elif len(names) <= 24:
        expected = "one of " + ", ".join(names)
    else:
        expected = f"one of {len(names)} known names"
    return DeployBenchError(f"unknown {kind} '{name}'", expected=expected, action=action)
