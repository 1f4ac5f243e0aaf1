"""The list of the faults: each is tried in a place of its own and says what the user sees.

A fault is a function of a :class:`~tests.faults.place.Place`. It makes the fault with a real
command, holds every promise (nothing finished is lost, no process and no partial file stays, a row
or a refusal with the cause, no traceback, the same command again does what is missing), raises
:class:`~tests.faults.place.BrokenPromiseError` where one is broken, and returns the words that a
user reads.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.place import Place

KINDS = ("workers", "parents", "going_on", "exports", "disks", "clocks", "damage", "together")
"""The modules that declare the faults of a kind."""
Try = Callable[[Place, int], str]


@dataclass(frozen=True)
class Fault:
    """One fault. ``try_it`` gets a place and the number of the try, which chooses what is left to
    chance; ``often`` says that ``make test`` tries it, too.
    """

    kind: str
    name: str
    try_it: Try
    often: bool


_declared: list[Fault] = []


def fault(kind: str, name: str, *, often: bool = False) -> Callable[[Try], Try]:
    """Declare a fault."""

    def declare(function: Try) -> Try:
        _declared.append(Fault(kind, name, function, often))
        return function

    return declare


def declare(kind: str, name: str, function: Try, *, often: bool = False) -> None:
    """Declare a fault that is one of many alike."""
    _declared.append(Fault(kind, name, function, often))


def all_faults() -> list[Fault]:
    """Every fault, in the order of the kinds, whichever of their modules was imported first."""
    kinds = [importlib.import_module(f"tests.faults.{kind}").KIND for kind in KINDS]
    return sorted(_declared, key=lambda one: kinds.index(one.kind))
